//! `imgraft seed line`: a seed that is one line.

use seed::LineError;

use crate::cli::seed::Line;
use crate::failure::Failure;
use crate::show::print;

pub(super) fn run(arguments: &Line) -> Result<(), Failure> {
    let Line { url, hostname, instance_id, reader } = arguments;
    let line = seed::Line::new(url.as_deref(), hostname.as_deref(), instance_id.as_deref()).map_err(|error| {
        let failure = Failure::of(&error);
        match error {
            LineError::NotHttp(_) => failure.hint("`imgraft seed serve` says the address of what it serves"),
            LineError::Character { character, .. } => {
                let mut bytes = [0; 4];
                let bytes = character.encode_utf8(&mut bytes).bytes();
                let percent: String = bytes.map(|byte| format!("%{byte:02X}")).collect();
                failure.hint(format!("in an address it is `{percent}`"))
            }
        }
    })?;
    print(&format!("{}\n", line.for_reader((*reader).into())))
}
