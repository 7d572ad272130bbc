use crate::fixture;
use nocloud::Seed;
#[test]
fn try_it() {
    for n in [fixture::dual_stack(), fixture::vrf(), fixture::on_link()] { println!("{}", n.to_yaml()); }
    let mut n = fixture::vrf(); n.vrfs[0].name = "on".into();  println!("{}", n.to_yaml());
    println!("{}", fixture::meta_data().to_yaml());
    let iso = Seed { user_data: b"#cloud-config\n", meta_data: &fixture::meta_data(), network: &fixture::dual_stack() }.to_iso();
    std::fs::write("/tmp/nocl/o.iso", iso).unwrap();
}
