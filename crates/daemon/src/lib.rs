//! What every long-running process of ours needs: logs, metrics, health, lease, shutdown, error chains
