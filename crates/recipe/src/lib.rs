//! Recipes: what an image is made from and what is expected of it, as a TOML file says it.
//!
//! This crate is the model alone. It reads no files and looks at no guest; paths are taken as they are written.
//! It does not know what a `[[step]]` can do either: whoever reads a recipe says so with a type that implements
//! [`Step`]. The `customize` crate does that with its verbs.
//!
//! ```
//! use recipe::{Problem, Recipe};
//!
//! let recipe = Recipe::<()>::parse("output = 'web.img'\n[base]\nname = 'debian:12'\n")?;
//! assert_eq!(recipe.output, Some("web.img".into()));
//!
//! let problems = Recipe::<()>::parse("outptu = 'web.img'").unwrap_err();
//! assert_eq!(problems[0].message, "unknown key `outptu`");
//! assert_eq!(problems[0].hint.as_deref(), Some("did you mean `output`?"));
//! # Ok::<(), Vec<Problem>>(())
//! ```

mod boot;
mod elsewhere;
mod form;
mod limit;
mod matrix;
mod mode;
mod owner;
mod pattern;
mod problem;
mod read;
mod recipe;
mod sha256;
mod size;
mod syntax;
mod table;
mod template;

pub use boot::{Boot, ExpectedCommand, ExpectedFile, ExpectedText, Login};
pub use elsewhere::Elsewhere;
pub use form::{ClusterSize, Form, FormError};
pub use limit::{CommandLimits, LimitError, MemoryLimit, TimeLimit};
pub use matrix::{Cell, CellError, Filled, Matrix};
pub use mode::{Mode, ModeError};
pub use owner::{Owner, OwnerError, Principal};
pub use pattern::Pattern;
pub use problem::{Problem, meant, suggestion};
pub use read::KEYS;
pub use recipe::{Base, BaseName, BaseNameError, Input, InputError, Inputs, Keep, Recipe, Step};
pub use sha256::{Sha256, Sha256Error};
pub use size::{ByteSize, DiskSize, DiskSizeError};
pub use syntax::SyntaxError;
pub use table::{Table, Value};
pub use template::{Placeholder, Template, ValueError, Values};
