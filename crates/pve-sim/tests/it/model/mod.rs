//! The simulator held against a small strict model of VMs, volumes, snapshots and tokens.
//!
//! The model knows what Proxmox VE does and refuses, and nothing of how the simulator does it. A seeded sample in each
//! run, many more with `OXMOX_FULL=1`.

mod held;
mod reference;

use proptest::test_runner::{Config, RngAlgorithm, RngSeed};
use proptest_state_machine::prop_state_machine;

use self::held::Held;

fn config() -> Config {
    let full = std::env::var_os("OXMOX_FULL").is_some_and(|v| v == "1");
    Config {
        cases: if full { 600 } else { 6 },
        max_shrink_iters: if full { 200 } else { 20 },
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..Config::default()
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_server_does_and_refuses_what_the_model_does(sequential 1..24 => Held);
}
