//! Which hosts lie in the open internet and which in somebody's own network. Texts and numbers only;
//! nothing is resolved.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names below these are answered by one's own network or machine.
const LOCAL_NAMES: &[&str] = &[
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "lan",
    "corp",
    "home",
    "private",
    "arpa",
    "test",
    "invalid",
    "onion",
];

/// Is it an address that the internet does not route, or that reaches one by a detour (mapped,
/// translated, tunnelled)?
pub fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // This network, private, this machine, many at once, and what is kept back.
        [0 | 10 | 127 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 168, ..]
        // Protocol assignments, documentation, relays, measurements.
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => true,
        [100, second, ..] => (64..128).contains(&second),
        [172, second, ..] => (16..32).contains(&second),
        [..] => false,
    }
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Translated by the network (NAT64), and 6to4: what counts is the address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => inner(high, low),
        // Tunnels, documentation, hash identities.
        [0x2001, 0 | 0x0db8 | 0x10..0x40, ..] | [0x3fff, 0..0x1000, ..] => true,
        // Only this eighth is the open internet; mapped, unique local and link-local lie outside.
        [first, ..] => first & 0xe000 != 0x2000,
    }
}

/// The address a host stands for when it is written as one; `Err` when it looks like a number and is
/// not in the plain form: programs read such texts in different ways.
pub(super) fn literal(host: &str) -> Result<Option<IpAddr>, ()> {
    if host.contains(':') {
        return host.parse::<Ipv6Addr>().map(|address| Some(IpAddr::V6(address))).map_err(drop);
    }
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !is_number {
        return Ok(None);
    }
    host.parse::<Ipv4Addr>().map(|address| Some(IpAddr::V4(address))).map_err(drop)
}

/// Is it a host of one's own network: a private address, a local name, or a name without a dot, which
/// only one's own name server or ssh knows?
pub(super) fn is_private(host: &str) -> bool {
    match literal(host) {
        Err(()) => true,
        Ok(Some(address)) => is_private_address(address),
        Ok(None) => {
            let name = host.trim_end_matches('.');
            let last = name.rsplit('.').next().unwrap_or_default();
            !name.contains('.') || LOCAL_NAMES.contains(&last)
        }
    }
}
