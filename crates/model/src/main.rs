//! Explores one model and prints what was found: `cargo run --release -p jeton-model -- leases [FAULT]`.

use std::process::ExitCode;

use jeton_model::MODELS;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let model = words.next().and_then(|name| MODELS.iter().find(|(known, _)| *known == name));
    let fault = words.next().map(|name| name.parse());
    let (Some((_, model)), None | Some(Ok(_))) = (model, &fault) else {
        let names: Vec<&str> = MODELS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: jeton-model MODEL [FAULT], where MODEL is one of {}", names.join(", "));
        return ExitCode::from(2);
    };
    let outcome = model(fault.and_then(Result::ok));
    println!("{outcome}");
    for (promise, way) in &outcome.broken {
        println!("{promise} is broken by");
        way.iter().for_each(|step| println!("  {step}"));
    }
    for unseen in &outcome.unseen {
        println!("never seen: {unseen}");
    }
    if outcome.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
