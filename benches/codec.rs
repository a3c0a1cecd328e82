//! Reading and writing messages, beside the crates `stun` and `stun-types`. `cargo bench --bench codec`.
//!
//! What is compared: an Allocate request with its credentials, read with its username and its realm,
//! its integrity checked; and a Binding success with the mapped address and FINGERPRINT, written.
#![allow(clippy::unwrap_used)] // measured is what succeeds

use testkit::stun as common;

use std::hint::black_box;
use std::net::SocketAddr;

use common::{PASSWORD, REALM, TID, USERNAME, key};
use criterion::{Criterion, criterion_group, criterion_main};
use stun::message::Setter as _;
use stun_types::attribute::{Realm, Username, XorMappedAddress};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, MessageWrite as _, MessageWriteExt as _,
    MessageWriteVec,
};
use taciturn_stun::{
    AttributeType as T, ChannelData, ChannelNumber, Class, Message, Method, Writer,
};

fn allocate() -> Vec<u8> {
    let mut buffer = [0; 512];
    let len = Writer::new(&mut buffer, Class::Request, Method::ALLOCATE, TID)
        .requested_transport(17)
        .attribute(T::USERNAME, USERNAME.as_bytes())
        .attribute(T::REALM, REALM.as_bytes())
        .attribute(T::NONCE, b"5a0209b5cb806106")
        .integrity(&key())
        .finish()
        .unwrap();
    buffer[..len].to_vec()
}

fn read(criterion: &mut Criterion) {
    let bytes = allocate();
    let mut group = criterion.benchmark_group("read an Allocate request");
    group.bench_function("taciturn", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(&bytes)).unwrap();
            black_box((message.username().unwrap(), message.realm().unwrap()));
        });
    });
    group.bench_function("stun", |bencher| {
        let mut message = stun::message::Message::new();
        bencher.iter(|| {
            message.unmarshal_binary(black_box(&bytes)).unwrap();
            let get = |kind| stun::textattrs::TextAttribute::get_from_as(&message, kind).unwrap();
            black_box((get(stun::attributes::ATTR_USERNAME), get(stun::attributes::ATTR_REALM)));
        });
    });
    group.bench_function("stun-types", |bencher| {
        bencher.iter(|| {
            let message = stun_types::message::Message::from_bytes(black_box(&bytes)).unwrap();
            let username = message.attribute::<Username>().unwrap();
            black_box((username, message.attribute::<Realm>().unwrap()));
        });
    });
    group.finish();
}

fn check(criterion: &mut Criterion) {
    let bytes = allocate();
    let mut group = criterion.benchmark_group("check MESSAGE-INTEGRITY");
    let ours = key();
    group.bench_function("taciturn", |bencher| {
        let message = Message::parse(&bytes).unwrap();
        bencher.iter(|| assert!(black_box(&message).verify_integrity(&ours)));
    });
    let theirs = stun::integrity::MessageIntegrity::new_long_term_integrity(
        USERNAME.to_owned(),
        REALM.to_owned(),
        PASSWORD.to_owned(),
    );
    group.bench_function("stun", |bencher| {
        let mut message = stun::message::Message::new();
        message.unmarshal_binary(&bytes).unwrap();
        bencher.iter(|| theirs.check(black_box(&mut message)).unwrap());
    });
    let theirs =
        LongTermKeyCredentials::new(USERNAME.to_owned(), PASSWORD.to_owned(), REALM.to_owned())
            .make_key(IntegrityAlgorithm::Sha1);
    group.bench_function("stun-types", |bencher| {
        let message = stun_types::message::Message::from_bytes(&bytes).unwrap();
        bencher.iter(|| {
            let with = message.validate_integrity_with_key(black_box(&theirs)).unwrap();
            assert_eq!(with, IntegrityAlgorithm::Sha1);
        });
    });
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let mapped: SocketAddr = SocketAddr::from(([192, 0, 2, 1], 32853));
    let mut group = criterion.benchmark_group("write a Binding success");
    group.bench_function("taciturn", |bencher| {
        let mut buffer = [0; 512];
        bencher.iter(|| {
            Writer::new(&mut buffer, Class::Success, Method::BINDING, TID)
                .address(T::XOR_MAPPED_ADDRESS, black_box(mapped))
                .fingerprint()
                .finish()
                .unwrap()
        });
    });
    group.bench_function("stun", |bencher| {
        let mut message = stun::message::Message::new();
        let mapped_stun = stun::xoraddr::XorMappedAddress { ip: mapped.ip(), port: mapped.port() };
        bencher.iter(|| {
            message.reset();
            message.transaction_id = stun::agent::TransactionId(TID.0);
            message.set_type(stun::message::BINDING_SUCCESS);
            message.write_header();
            black_box(&mapped_stun).add_to(&mut message).unwrap();
            stun::fingerprint::FINGERPRINT.add_to(&mut message).unwrap();
            message.raw.len()
        });
    });
    group.bench_function("stun-types", |bencher| {
        let request = {
            let writer = MessageWriteVec::new();
            let method = stun_types::message::BINDING;
            stun_types::message::Message::builder_request(method, writer).finish()
        };
        let request = stun_types::message::Message::from_bytes(&request).unwrap();
        bencher.iter(|| {
            let writer = MessageWriteVec::with_capacity(64);
            let mut message = stun_types::message::Message::builder_success(&request, writer);
            let address = XorMappedAddress::new(black_box(mapped), request.transaction_id());
            message.add_attribute(&address).unwrap();
            message.add_fingerprint().unwrap();
            message.finish().len()
        });
    });
    group.finish();
}

fn channel_data(criterion: &mut Criterion) {
    let channel = ChannelNumber::new(0x4000).unwrap();
    let mut framed = ChannelData::header(channel, 172).to_vec();
    framed.resize(4 + 172, 0x5A);
    criterion.bench_function("read ChannelData/taciturn", |bencher| {
        bencher.iter(|| ChannelData::parse(black_box(&framed)).unwrap().data.len());
    });
}

criterion_group!(benches, read, check, write, channel_data);
criterion_main!(benches);
