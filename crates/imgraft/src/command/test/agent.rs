//! The part of a seed that starts the agent.

use std::sync::Arc;

use seed::{Content, Part, Seed};
use storage::Memory;

use crate::cli::test::AgentPart;
use crate::failure::Failure;

/// The largest file that the agent's part is put beside, in bytes.
const LIMIT_BYTES: u64 = 16 << 20;
/// The part's name.
const NAME: &str = "imgraft-judge";

/// Puts the agent's part into `seed`, and says why there may be no agent nevertheless.
///
/// # Errors
///
/// What is there already and cannot be put beside another part.
pub(super) fn add(seed: &mut Seed, part: AgentPart) -> Result<Option<String>, Failure> {
    match part {
        AgentPart::VendorData => {
            seed.vendor_data = Some(beside("vendor-data", seed.vendor_data.as_ref())?);
            Ok(Some(
                "it needs a cloud-init that takes vendor-data, python3, and a kernel with virtio_console; where \
                 user-data switches vendor-data off, `--agent user-data` helps"
                    .to_owned(),
            ))
        }
        AgentPart::UserData => {
            seed.user_data = beside("user-data", Some(&seed.user_data))?;
            Ok(Some("it needs python3 and a kernel with virtio_console".to_owned()))
        }
        AgentPart::None => Ok(Some("you say so".to_owned())),
    }
}

/// The agent's part, beside what there is.
fn beside(what: &str, there: Option<&Content>) -> Result<Content, Failure> {
    let hook = judge::agent::boothook().into_bytes();
    let Some(bytes) = there.map(|there| bytes(what, there)).transpose()?.filter(|bytes| !bytes.trim_ascii().is_empty())
    else {
        return Ok(Arc::new(Memory::from(hook)));
    };
    let unknown = || {
        Failure::new(format!("the {what} does not say what it is, and so nothing can be put beside it"))
            .hint("begin it with `#cloud-config`, with `#!` and an interpreter, or as cloud-init has it otherwise")
    };
    let there = Part::new(what, bytes).ok_or_else(unknown)?;
    let hook = Part::new(NAME, hook).ok_or_else(unknown)?;
    Ok(Arc::new(Memory::from(seed::multipart(&[there, hook]))))
}

fn bytes(what: &str, content: &Content) -> Result<Vec<u8>, Failure> {
    if content.size_bytes() > LIMIT_BYTES {
        return Err(Failure::new(format!("the {what} is larger than 16 MiB")));
    }
    let mut bytes = vec![0; content.size_bytes() as usize];
    content.read_at(0, &mut bytes).map_err(|error| Failure::because(format!("the {what} cannot be read"), &error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use seed::Kind;

    use super::*;

    fn content(text: &str) -> Content {
        Arc::new(Memory::from(text.as_bytes().to_vec()))
    }

    fn text(content: &Content) -> String {
        String::from_utf8(bytes("x", content).unwrap()).unwrap()
    }

    fn seed(user_data: &str, vendor_data: Option<&str>) -> Seed {
        Seed {
            user_data: content(user_data),
            meta_data: content(""),
            network_config: None,
            vendor_data: vendor_data.map(content),
        }
    }

    #[test]
    fn the_agent_comes_beside_what_is_there() {
        let mut plain = seed("#cloud-config\n{}\n", None);
        add(&mut plain, AgentPart::VendorData).unwrap();
        assert_eq!(Kind::of(text(plain.vendor_data.as_ref().unwrap()).as_bytes()), Some(Kind::Boothook));
        assert_eq!(text(&plain.user_data), "#cloud-config\n{}\n");

        let mut vendor = seed("", Some("#cloud-config\ntimezone: UTC\n"));
        add(&mut vendor, AgentPart::VendorData).unwrap();
        let message = text(vendor.vendor_data.as_ref().unwrap());
        assert!(message.contains("timezone: UTC") && message.contains("text/cloud-boothook"), "{message}");

        let mut user = seed("#!/bin/sh\n", None);
        add(&mut user, AgentPart::UserData).unwrap();
        assert_eq!(Kind::of(text(&user.user_data).as_bytes()), Some(Kind::Message));
        assert!(user.vendor_data.is_none());
        assert!(add(&mut seed("nonsense", None), AgentPart::UserData).is_err());

        let mut none = seed("a", None);
        add(&mut none, AgentPart::None).unwrap();
        assert!(none.vendor_data.is_none() && text(&none.user_data) == "a");
    }
}
