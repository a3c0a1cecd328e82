//! What becomes of a configuration: read, refused with a word, survived.

mod errors;
mod load;
mod robust;
