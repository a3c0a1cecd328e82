//! What the documents, examples and tables of the repository promise.

mod budgets;
mod code;
mod conformance;
mod deployment;
mod documents;
mod keys;
mod layers;
mod monitoring;
mod reference;
mod security;
