//! One connection, from its first request to its end.

use std::time::{Duration, Instant};

use super::request::{Refusal, Requests};
use super::response::Response;
use super::wire::Wire;
use super::{Exchange, Service};

/// How many bytes of a refused request are still read, and for how long. If they were not read, the connection would
/// be reset, and the client might not get the answer.
const LINGER_BYTES: usize = 1 << 20;
const LINGER: Duration = Duration::from_secs(2);

impl Service {
    /// Answers the requests of one connection until it ends. `peer` is the client's name in the log.
    pub fn serve(&self, wire: &mut dyn Wire, peer: &str) {
        let mut requests = Requests::new();
        for left in (0..self.limits.requests).rev() {
            let request = match requests.next(wire, &self.limits) {
                Ok(request) => request,
                Err(Refusal::Gone) => return,
                Err(Refusal::Answer { status, reason, head }) => {
                    self.refuse(wire, peer, status, reason, &String::from_utf8_lossy(&head));
                    return;
                }
            };
            let response = self.answer(&request);
            let closes = request.closes || left == 0;
            let sent = response.send(wire, request.method != "HEAD", closes, &self.limits);
            self.watch.answered(&Exchange {
                peer,
                method: &request.method,
                target: &request.target,
                user_agent: request.header("user-agent").unwrap_or_default(),
                status: response.status,
                body_bytes: response.body_bytes(),
            });
            if closes || sent.is_err() {
                wire.finish();
                return;
            }
        }
    }

    /// Answers why something is not a request, and reads what the client still sends.
    pub(super) fn refuse(&self, wire: &mut dyn Wire, peer: &str, status: u16, reason: &str, head: &str) {
        let response = Response::refusal(status, reason);
        let sent = response.send(wire, true, true, &self.limits);
        let body_bytes = response.body_bytes();
        self.watch.answered(&Exchange {
            peer,
            method: "",
            target: head.trim_end(),
            user_agent: "",
            status,
            body_bytes,
        });
        wire.finish();
        if sent.is_err() {
            return;
        }
        let (deadline, mut buffer, mut heard) = (Instant::now() + LINGER, vec![0; 16 << 10], 0);
        while heard < LINGER_BYTES {
            match wire.read(&mut buffer, deadline) {
                Ok(count) if count > 0 => heard += count,
                _ => return,
            }
        }
    }
}
