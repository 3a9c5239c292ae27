//! Which request gets which answer.

use std::io;

use super::ec2::{self, Found};
use super::form::PhoneHome;
use super::path;
use super::request::Request;
use super::response::Response;
use super::seeds::SeedFile;
use super::{Imds, Service};

const TOKEN_HEADER: &str = "X-aws-ec2-metadata-token";
const TTL_HEADER: &str = "X-aws-ec2-metadata-token-ttl-seconds";
/// Where guests report that they are done; the rest of the path is theirs to choose.
const PHONE_HOME: &str = "phone-home";

impl Service {
    /// The answer to a request.
    pub(super) fn answer(&self, request: &Request) -> Response {
        let Some(segments) = path::segments(&request.target) else {
            return Response::refusal(400, "the address is malformed, or leads out of the served folder");
        };
        let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        let answer = match names[..] {
            ["latest", "api", "token"] => return self.token(request),
            [PHONE_HOME, ..] if request.method == "POST" => return self.phone_home(request),
            [PHONE_HOME, ..] => return not_allowed("POST"),
            _ if !is_read => return unread(&request.method),
            [] => Ok(Response::text(ec2::versions())),
            [version, ref path @ ..] if ec2::is_version(version) => match self.let_in(request) {
                Ok(()) => self.ec2(version, path),
                Err(refusal) => return refusal,
            },
            _ if !self.has_nocloud => return Response::refusal(404, "only Amazon's tree is served here"),
            _ => self.nocloud(&names, &segments),
        };
        answer.unwrap_or_else(|error| {
            self.watch.trouble(&format!("`{}` cannot be answered", request.target), &error);
            Response::refusal(500, "the file cannot be read")
        })
    }

    fn nocloud(&self, names: &[&str], segments: &[String]) -> io::Result<Response> {
        let file = names.last().and_then(|name| SeedFile::of_name(name));
        let content = match (names, file) {
            ([_], Some(file)) => self.seeds.file(None, file)?,
            ([instance, _], Some(file)) => self.seeds.file(Some(instance), file)?,
            _ => self.seeds.other(segments)?,
        };
        Ok(content
            .map_or_else(|| Response::refusal(404, "there is no such instance, and no such file"), Response::content))
    }

    fn ec2(&self, version: &str, path: &[&str]) -> io::Result<Response> {
        Ok(match self.ec2.find(version, path, &self.seeds)? {
            Found::Text(text) => Response::text(text),
            Found::Json(text) => Response::json(text),
            Found::Content(content) => Response::content(content),
            Found::Nothing => Response::refusal(404, "there is nothing here"),
        })
    }

    /// Whether the tree may be read: with a valid token, or without any if none is required.
    fn let_in(&self, request: &Request) -> Result<(), Response> {
        let now_seconds = (self.clock)();
        match (request.header(TOKEN_HEADER), self.imds) {
            (_, Imds::V1) | (None, Imds::Both) => Ok(()),
            (Some(token), _) if self.tokens.are_good(token, now_seconds) => Ok(()),
            (Some(_), _) => Err(Response::refusal(401, "the token is invalid or has expired")),
            (None, Imds::V2) => Err(Response::refusal(401, "a token is required: PUT /latest/api/token gives one")),
        }
    }

    fn token(&self, request: &Request) -> Response {
        if self.imds == Imds::V1 {
            return Response::refusal(404, "there are no tokens in version 1");
        }
        if request.method != "PUT" {
            return not_allowed("PUT");
        }
        if request.header("X-Forwarded-For").is_some() {
            return Response::refusal(403, "tokens are not given through proxies");
        }
        let Some(ttl) = request.header(TTL_HEADER) else {
            return Response::refusal(400, "the header X-aws-ec2-metadata-token-ttl-seconds is missing");
        };
        match self.tokens.make(ttl, (self.clock)()) {
            Some((token, ttl)) => Response::text(token).header(TTL_HEADER, ttl.to_string()),
            None => Response::refusal(400, "a token is valid for 1 to 21600 seconds"),
        }
    }

    fn phone_home(&self, request: &Request) -> Response {
        let Some(call) = PhoneHome::parse(&request.body) else {
            return Response::refusal(400, "this is not a form");
        };
        match self.watch.phoned_home(&call) {
            Ok(()) => Response::text(""),
            Err(error) => {
                self.watch.trouble("the call of this guest cannot be recorded", &error);
                Response::refusal(503, "this call cannot be recorded")
            }
        }
    }
}

fn not_allowed(allowed: &str) -> Response {
    Response::refusal(405, "this address needs another method").header("Allow", allowed)
}

/// 405 for a method that another address may support, 501 for an unknown one.
fn unread(method: &str) -> Response {
    match method {
        "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" | "CONNECT" | "TRACE" => not_allowed("GET, HEAD"),
        _ => Response::refusal(501, "unknown method"),
    }
}
