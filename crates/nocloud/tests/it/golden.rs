//! What people read in a guest when its network is wrong.

use insta::assert_snapshot;
use nocloud::MetaData;

use crate::fixture;

#[test]
fn a_static_card_keeps_its_address_and_asks_nobody() {
    assert_snapshot!(fixture::fixed().to_yaml());
}

#[test]
fn a_card_without_addresses_asks_a_dhcp_server() {
    assert_snapshot!(fixture::dhcp().to_yaml());
}

#[test]
fn both_families_may_be_asked_for() {
    assert_snapshot!(fixture::dhcp_both().to_yaml());
}

#[test]
fn two_cards_are_told_apart_by_mac() {
    assert_snapshot!(fixture::two_nics().to_yaml());
}

#[test]
fn a_vlan_on_the_bridge_is_no_business_of_the_guest() {
    let yaml = fixture::vlan().to_yaml();
    assert!(!yaml.contains("vlan"), "the bridge does the tagging:\n{yaml}");
    assert_snapshot!(yaml);
}

#[test]
fn an_ipv6_default_route_is_written_as_gateway6() {
    assert_snapshot!(fixture::ipv6().to_yaml());
}

#[test]
fn an_ipv6_default_route_with_a_metric_stays_a_route() {
    let mut network = fixture::ipv6();
    network.nics[0].routes[0].metric = Some(100);
    assert_snapshot!(network.to_yaml());
}

#[test]
fn both_families_have_their_default_routes_side_by_side() {
    assert_snapshot!(fixture::dual_stack().to_yaml());
}

#[test]
fn a_second_card_answers_through_a_table_of_its_own() {
    assert_snapshot!(fixture::policy().to_yaml());
}

#[test]
fn a_default_route_without_next_hop_is_on_the_link_and_of_the_cards_family() {
    assert_snapshot!(fixture::on_link().to_yaml());
}

#[test]
fn a_vrf_has_its_cards_table_routes_and_rules() {
    assert_snapshot!(fixture::vrf().to_yaml());
}

#[test]
fn a_guest_without_cards_gets_a_network_without_cards() {
    assert_snapshot!(nocloud::NetworkConfig::default().to_yaml());
}

#[test]
fn meta_data_tells_the_name_twice() {
    assert_snapshot!(fixture::meta_data().to_yaml());
}

#[test]
fn what_is_not_known_is_left_out_of_meta_data() {
    let known = MetaData { provider_id: None, kubernetes_version: None, ..fixture::meta_data() };
    assert_snapshot!(known.to_yaml());
}
