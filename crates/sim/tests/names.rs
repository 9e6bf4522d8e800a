//! The names of the faults are in a program that has fault points. That they are not in the product is a test of the product
//! (`crates/jeton/tests/fault_points.rs`); this one shows that such a search would find them.

use jeton_types::fault::Fault;

#[test]
fn the_simulator_has_fault_points() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_jeton-sim")).unwrap();
    for fault in Fault::ALL {
        let name = fault.name().as_bytes();
        assert!(program.windows(name.len()).any(|window| window == name), "{fault:?} is not in the simulator");
    }
}
