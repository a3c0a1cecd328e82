//! What the documents, examples and tables of the repository promise.

mod budgets;
mod circles;
mod code;
mod conformance;
mod deployment;
mod documents;
mod impl_blocks;
mod keys;
mod layers;
mod mentions;
mod modules;
mod monitoring;
mod reference;
mod security;
mod stages;
mod workflows;
