//! Whether interfaces make a whole: what Proxmox VE looks for when it writes the file.

use crate::state::interfaces::{Interface, Interfaces, is, parent};

fn words<'a>(interface: &'a Interface, key: &str) -> impl Iterator<Item = &'a str> {
    interface.get(key).map_or("", String::as_str).split([' ', ',', ';']).filter(|w| !w.is_empty() && *w != "none")
}

/// A complaint that Proxmox VE ends with the place in its own code.
fn died(text: &str) -> String {
    format!("{text} at /usr/share/perl5/PVE/INotify.pm line 1580.")
}

/// The text of what is wrong.
pub(super) fn check(interfaces: &Interfaces) -> Result<(), String> {
    for (name, interface) in interfaces {
        match interface.get("type").map_or("", String::as_str) {
            "bond" => bond(interfaces, name, interface)?,
            "vlan" => vlan(interfaces, name, interface)?,
            "bridge" => bridge(interfaces, name, interface)?,
            _ => {}
        }
    }
    Ok(())
}

/// What stands on an interface can't let through more than that.
fn mtu(interfaces: &Interfaces, parent: &str, child: &str) -> Result<(), String> {
    let of = |name: &str| interfaces.get(name).and_then(|i| i.get("mtu")).and_then(|m| m.parse::<u32>().ok());
    let (Some(child_mtu), parent_mtu) = (of(child), of(parent)) else { return Ok(()) };
    let parent_mtu = match parent_mtu {
        Some(mtu) => mtu,
        None if interfaces.get(parent).is_some_and(|i| is(i, "eth")) => 1500,
        None => return Ok(()),
    };
    if parent_mtu < child_mtu {
        return Err(format!("interface '{parent}' - mtu {parent_mtu} is lower than '{child}' - mtu {child_mtu}\n"));
    }
    Ok(())
}

fn bond(interfaces: &Interfaces, name: &str, interface: &Interface) -> Result<(), String> {
    for slave in words(interface, "slaves") {
        let Some(other) = interfaces.get(slave) else {
            return Err(format!("bond '{name}' - unable to find slave '{slave}'"));
        };
        if !is(other, "eth") && !is(other, "bond") {
            let kind = other.get("type").map_or("", String::as_str);
            return Err(format!("bond '{name}' - wrong interface type on slave '{slave}' ('{kind}' != 'eth or bond')"));
        }
        mtu(interfaces, name, slave)?;
    }
    let primary = interface.get("bond-primary").filter(|p| !p.is_empty());
    if words(interface, "slaves").next().is_some()
        && primary.is_some_and(|primary| !words(interface, "slaves").any(|slave| slave == primary))
    {
        return Err(died(&format!("bond '{name}' - bond-primary interface is not a slave")));
    }
    Ok(())
}

fn vlan(interfaces: &Interfaces, name: &str, interface: &Interface) -> Result<(), String> {
    let (device, number) = if let Some((device, number)) = parent(name) {
        (device, number)
    } else {
        let Some(device) = interface.get("vlan-raw-device") else {
            return Err(died("missing vlan-raw-device option"));
        };
        let by_name = name.strip_prefix("vlan").filter(|n| n.parse::<u32>().is_ok());
        let Some(number) = by_name.or_else(|| interface.get("vlan-id").map(String::as_str)) else {
            return Err(died("missing vlan-id option"));
        };
        (device.as_str(), number)
    };
    if number.parse::<u32>().is_ok_and(|n| n > 4094) {
        return Err(format!("vlan '{name}' - vlan-id {number} should be <= 4094"));
    }
    let Some(other) = interfaces.get(device) else {
        return Err(format!("vlan '{name}' - unable to find parent '{device}'"));
    };
    let kind = other.get("type").map_or("", String::as_str);
    if !["eth", "bridge", "bond", "vlan"].contains(&kind) {
        return Err(format!(
            "vlan '{name}' - wrong interface type on parent '{device}' ('{kind}' != 'eth|bond|bridge|vlan' )"
        ));
    }
    mtu(interfaces, device, name)
}

fn bridge(interfaces: &Interfaces, name: &str, interface: &Interface) -> Result<(), String> {
    for port in words(interface, "bridge_ports") {
        let Some(other) = interfaces.get(port) else {
            // VLANs of cards are made as they are needed.
            if port.contains('.') && parent(port).is_some() {
                continue;
            }
            return Err(format!("bridge '{name}' - unable to find bridge port '{port}'"));
        };
        if ["method", "method6"].iter().any(|m| other.get(*m).is_some_and(|m| m == "static")) {
            return Err(format!("iface {port} - ip address can't be set on interface if bridged in {name}"));
        }
        mtu(interfaces, port, name)?;
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::state::interfaces::Network;

    fn with(name: &str, options: &[(&str, &str)]) -> Interfaces {
        let mut interfaces = Network::new("192.0.2.40", &["vmbr0".to_owned()]).applied;
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        interfaces.insert(name.to_owned(), options.collect());
        interfaces
    }

    #[test]
    fn what_an_interface_stands_on_must_be_there_and_of_the_right_kind() {
        assert_eq!(check(&with("eno1.9", &[("type", "vlan")])), Ok(()));
        let lost = check(&with("eno7.9", &[("type", "vlan")])).unwrap_err();
        assert_eq!(lost, "vlan 'eno7.9' - unable to find parent 'eno7'");
        let bond = check(&with("bond3", &[("type", "bond"), ("slaves", "vmbr0")])).unwrap_err();
        assert_eq!(bond, "bond 'bond3' - wrong interface type on slave 'vmbr0' ('bridge' != 'eth or bond')");
        let port = check(&with("vmbr8", &[("type", "bridge"), ("bridge_ports", "eno9")])).unwrap_err();
        assert_eq!(port, "bridge 'vmbr8' - unable to find bridge port 'eno9'");
        let number = check(&with("mine", &[("type", "vlan"), ("vlan-raw-device", "eno1")])).unwrap_err();
        assert!(number.starts_with("missing vlan-id option at "), "{number}");
    }

    #[test]
    fn a_child_may_not_have_a_larger_mtu_than_its_card() {
        let wide = check(&with("eno1.9", &[("type", "vlan"), ("mtu", "9000")])).unwrap_err();
        assert_eq!(wide.trim(), "interface 'eno1' - mtu 1500 is lower than 'eno1.9' - mtu 9000");
    }
}
