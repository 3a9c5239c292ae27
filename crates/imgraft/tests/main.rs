//! All tests of the program in one binary: each file is a module of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "the tests run the program that they are about")]

mod accounts;
mod adversary;
mod boot;
mod boot_full;
mod build;
mod cache;
mod careful;
mod careful_root;
mod cloud_localds;
mod commands;
mod commands_full;
mod convert;
mod customize;
mod damage;
mod diff;
mod doctor;
mod edges;
mod failing;
mod fetch;
mod foreign_images;
mod full;
#[path = "../../catalogue/tests/gnupg/mod.rs"]
mod gnupg;
mod help;
mod inherit_root;
mod judge_without_qemu;
mod judged;
mod killed;
mod layouts;
mod locked;
mod locks;
mod look;
mod progress;
mod publisher;
mod recipe;
mod refusals;
mod release;
mod repair;
mod reproducible;
mod resize;
mod runners;
mod seed;
mod seed_boot;
mod seed_check;
mod seed_cloud_init;
mod seed_content;
mod seed_serve;
mod support;
mod verbs;
mod virt_customize;
mod virt_customize_original;
mod walkthrough;
mod wrapped;
