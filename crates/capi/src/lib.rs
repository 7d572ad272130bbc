//! Cluster API controllers: ProxmoxCluster and ProxmoxMachine
