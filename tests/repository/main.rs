//! What the documents, examples and tables of the repository promise.

mod conformance;
mod deployment;
mod documents;
mod layers;
mod monitoring;
mod reference;
mod security;
