//! Messages on the wire: the rules of RFC 8489, its vectors, and independent codecs beside ours.

mod differential;
mod rules;
mod vectors;
