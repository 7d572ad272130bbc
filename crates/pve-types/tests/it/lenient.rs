//! Numbers, strings, booleans: whichever the version sends.

use pve_types::lenient;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, Debug, PartialEq)]
struct Row {
    #[serde(deserialize_with = "lenient::number")]
    n: u64,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    m: Option<f64>,
    #[serde(default, deserialize_with = "lenient::flag")]
    yes: bool,
    #[serde(default, deserialize_with = "lenient::opt_text")]
    t: Option<String>,
}

#[test]
fn a_number_is_a_number_however_it_is_written() {
    for n in [json!(4), json!("4"), json!(4.0), json!("4.0")] {
        let row: Row = serde_json::from_value(json!({"n": n, "m": "0.25", "t": 7})).unwrap();
        assert_eq!((row.n, row.m, row.t.as_deref()), (4, Some(0.25), Some("7")));
    }
    for bad in [json!("four"), json!(-1), json!(4.5), json!([4]), json!(null)] {
        assert!(serde_json::from_value::<Row>(json!({"n": bad})).is_err(), "{bad}");
    }
}

#[test]
fn a_yes_is_a_yes_however_it_is_said() {
    for (value, meant) in [
        (json!(1), true),
        (json!("1"), true),
        (json!(true), true),
        (json!("yes"), true),
        (json!(0), false),
        (json!(""), false),
        (json!(null), false),
        (json!(false), false),
    ] {
        let row: Row = serde_json::from_value(json!({"n": 1, "yes": value})).unwrap();
        assert_eq!(row.yes, meant, "{value}");
    }
    assert!(serde_json::from_value::<Row>(json!({"n": 1, "yes": "perhaps"})).is_err());
}
