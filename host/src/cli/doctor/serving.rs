//! What `wharf serve` runs on.

use std::net::SocketAddr;
use std::path::Path;

use super::Check;
use super::facts::{Directory, Facts, Port, TokenFile};

/// Files that are open beside the clients' connections: the store, services, outgoing connections.
const OTHER_FILES: u64 = 512;
/// Fewer are not even enough to try something out.
const FEW_FILES: u64 = 256;
/// Address space of a slot for an instance, in bytes.
const SLOT: u64 = 8 << 30;
/// Mappings that an instance takes: its memories, each with what guards it, and its stack.
const MAPPINGS: u64 = 8;
/// What a file's mode says about everyone but its owner.
const OTHERS: u32 = 0o077;
/// Directories that `wharf dev` may have to watch in a large workspace.
const WATCHES: u64 = 8192;

/// Judges addresses, directories and limits. A limit that this system doesn't have is left out.
pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![
        port("--listen", facts.listen_address, &facts.listen),
        port("--admin", facts.admin_address, &facts.admin),
        directory("services", &facts.services_path, &facts.services),
        directory("data", &facts.data_path, &facts.data),
        token(&facts.token_path, &facts.token),
        open_files(facts.open_files, facts.connections),
        address_space(facts.address_space, facts.instances),
    ];
    checks.extend(facts.overcommit.map(overcommit));
    checks.extend(facts.mappings.map(|most| mappings(most, facts.instances)));
    checks.extend(facts.watches.map(watches));
    checks
}

fn port(flag: &str, address: SocketAddr, port: &Port) -> Check {
    let other = format!("{flag} names another address");
    match port {
        Port::Free => Check::ok(flag, format!("{address} is free")),
        Port::Wharf(who) => Check::ok(flag, format!("{address} is served by {who}")),
        Port::Taken(why) => {
            let port = address.port();
            Check::fail(
                flag,
                format!("{address} is in use{why}"),
                format!("`ss -ltnp 'sport = :{port}'` says by what; {other}"),
            )
        }
        Port::Forbidden => Check::fail(
            flag,
            format!("this user may not listen on {address}"),
            format!("{other}, with a port from 1024 up; or give the program CAP_NET_BIND_SERVICE"),
        ),
        Port::Unusable(error) => Check::fail(
            flag,
            format!("nothing can listen on {address}: {error}"),
            other,
        ),
    }
}

fn directory(name: &str, path: &Path, directory: &Directory) -> Check {
    let shown = path.display();
    let other = if name == "data" {
        "--data names another"
    } else {
        "name another"
    };
    match directory {
        Directory::Usable => Check::ok(name, format!("{shown} can be read and written")),
        Directory::Makeable => Check::ok(
            name,
            format!("{shown} isn't there yet; `wharf serve` makes it"),
        ),
        Directory::SomethingElse => Check::fail(
            name,
            format!("{shown} is no directory"),
            format!("move it away, or {other}"),
        ),
        Directory::Unusable(error) => Check::fail(
            name,
            format!("{shown} can't be read and written: {error}"),
            format!("give it to the user that the host runs as (chown), or {other}"),
        ),
    }
}

fn token(path: &Path, token: &TokenFile) -> Check {
    const NAME: &str = "token";
    let path = path.display();
    match token {
        TokenFile::Missing => Check::ok(
            NAME,
            format!("{path} isn't there yet; `wharf serve` makes it"),
        ),
        TokenFile::Mode(mode) if mode & OTHERS == 0 => {
            Check::ok(NAME, format!("{path} is yours alone"))
        }
        TokenFile::Mode(mode) => Check::fail(
            NAME,
            format!(
                "{path} has mode {:04o}: others can read it, and with it do all that you can",
                mode & 0o7777
            ),
            format!(
                "chmod 600 {path}; if others may have read it, remove it instead, and restart the host"
            ),
        ),
        TokenFile::Unreadable(error) => Check::fail(
            NAME,
            format!("{path} can't be read: {error}"),
            "be the user that the host runs as",
        ),
    }
}

fn open_files(limit: Option<u64>, connections: u64) -> Check {
    const NAME: &str = "open files";
    let wanted = connections + OTHER_FILES;
    match limit {
        None => Check::ok(NAME, "no limit"),
        Some(limit) if limit >= wanted => Check::ok(NAME, format!("{limit}")),
        Some(limit) => {
            let found =
                format!("{limit}; {connections} connections (http.max_connections) need {wanted}");
            let fix = format!(
                "ulimit -n {wanted} before `wharf serve`, or LimitNOFILE={wanted} in its unit"
            );
            if limit < FEW_FILES {
                Check::fail(NAME, found, fix)
            } else {
                Check::warn(NAME, found, fix)
            }
        }
    }
}

fn address_space(limit: Option<u64>, instances: u64) -> Check {
    const NAME: &str = "address space";
    let wanted = instances.saturating_mul(SLOT);
    let gib = |bytes: u64| bytes >> 30;
    match limit {
        None => Check::ok(NAME, "no limit"),
        Some(limit) if limit >= wanted => Check::ok(NAME, format!("{} GiB", gib(limit))),
        Some(limit) => Check::warn(
            NAME,
            format!(
                "{} GiB; a pool for {instances} instances (sandbox.max_instances) reserves {} GiB, and without it each \
                 instance starts more slowly",
                gib(limit),
                gib(wanted)
            ),
            "ulimit -v unlimited before `wharf serve`; nothing of it is memory until it is used",
        ),
    }
}

fn overcommit(mode: u64) -> Check {
    const NAME: &str = "overcommit";
    match mode {
        0 => Check::ok(NAME, "as the kernel sees fit (vm.overcommit_memory is 0)"),
        1 => Check::ok(NAME, "always (vm.overcommit_memory is 1)"),
        mode => Check::warn(
            NAME,
            format!(
                "never (vm.overcommit_memory is {mode}): memory counts when an instance asks for it, used or not"
            ),
            "sysctl vm.overcommit_memory=0, or keep limits.memory of the services small",
        ),
    }
}

fn mappings(most: u64, instances: u64) -> Check {
    const NAME: &str = "mappings";
    let wanted = instances.saturating_mul(MAPPINGS);
    if most >= wanted {
        return Check::ok(NAME, format!("{most} (vm.max_map_count)"));
    }
    let possible = most / MAPPINGS;
    Check::warn(
        NAME,
        format!(
            "{most} (vm.max_map_count), enough for some {possible} of {instances} instances (sandbox.max_instances)"
        ),
        format!("sysctl vm.max_map_count={wanted}, and in /etc/sysctl.d to keep it"),
    )
}

fn watches(most: u64) -> Check {
    const NAME: &str = "watches";
    if most >= WATCHES {
        return Check::ok(NAME, format!("{most} (fs.inotify.max_user_watches)"));
    }
    Check::warn(
        NAME,
        format!(
            "{most} (fs.inotify.max_user_watches), which editors use, too; `wharf dev` needs one for each directory"
        ),
        "sysctl fs.inotify.max_user_watches=524288, and in /etc/sysctl.d to keep it",
    )
}
