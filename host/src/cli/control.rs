//! `wharf hold`, `resume`, `kill` and `drain`: the operator's hands.

use anyhow::Result;
use clap::Args;
use http::Method;

use super::api::Service;
use super::client::{self, Client};
use super::operator::{Common, help};
use super::output::Output;
use super::text::short;
use crate::config::ServiceName;

/// What `hold` takes.
#[derive(Args)]
#[command(after_help = help!("What runs goes on. A new file is left as it is, and waits for\n\
    `wharf resume`.\n\
    \n\
    Example:\n\
    \x20 wharf hold login"))]
pub(super) struct HoldArguments {
    /// The service
    name: ServiceName,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What `resume` takes.
#[derive(Args)]
#[command(after_help = help!("A release that asks for more than the one before is held, too, until you have\n\
    seen what it asks for: `wharf status NAME`. To resume says yes to it. After a\n\
    rollback it takes the files again that were gone back from.\n\
    \n\
    Example:\n\
    \x20 wharf resume login"))]
pub(super) struct ResumeArguments {
    /// The service
    name: ServiceName,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What `kill` takes.
#[derive(Args)]
#[command(after_help = help!("Requests in it are run again where that is safe, and fail elsewhere;\n\
    `wharf drain` lets them finish. `wharf status NAME` shows the instances.\n\
    \n\
    Example:\n\
    \x20 wharf kill login 12"))]
pub(super) struct KillArguments {
    /// The service
    name: ServiceName,
    /// The number of the instance
    instance: u64,
    #[command(flatten)]
    pub(super) host: client::Options,
}

/// What `drain` takes.
#[derive(Args)]
#[command(after_help = help!("It takes no more requests. `wharf status NAME` shows the instances.\n\
    \n\
    Example:\n\
    \x20 wharf drain login 12"))]
pub(super) struct DrainArguments {
    /// The service
    name: ServiceName,
    /// The number of the instance
    instance: u64,
    #[command(flatten)]
    pub(super) host: client::Options,
}

pub(super) async fn hold(
    arguments: &HoldArguments,
    client: &Client,
    out: &mut Output,
) -> Result<()> {
    let name = &arguments.name;
    let path = format!("/api/services/{name}/hold");
    let answer = client.send(Method::POST, &path, None).await?;
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    let text = format!("{name}: new releases wait until `wharf resume {name}`\n");
    Ok(out.text(&text)?)
}

pub(super) async fn resume(
    arguments: &ResumeArguments,
    client: &Client,
    out: &mut Output,
) -> Result<()> {
    let name = &arguments.name;
    let path = format!("/api/services/{name}/resume");
    let answer = client.send(Method::POST, &path, None).await?;
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    let service: Service = answer.read()?;
    let runs = match (&service.canary, &service.release) {
        (Some(canary), _) => format!(
            "release {} ({}) is on trial",
            canary.revision,
            short(&canary.digest)
        ),
        (None, Some(release)) => format!(
            "release {} ({}) runs",
            release.revision,
            short(&release.digest)
        ),
        (None, None) => "nothing runs yet".to_owned(),
    };
    Ok(out.text(&format!("{name}: new releases are taken again; {runs}\n"))?)
}

pub(super) async fn kill(
    arguments: &KillArguments,
    client: &Client,
    out: &mut Output,
) -> Result<()> {
    let KillArguments { name, instance, .. } = arguments;
    let path = format!("/api/services/{name}/instances/{instance}");
    client.send(Method::DELETE, &path, None).await?;
    Ok(out.text(&format!(
        "{name}: instance {instance} is killed, and another takes its place\n"
    ))?)
}

pub(super) async fn drain(
    arguments: &DrainArguments,
    client: &Client,
    out: &mut Output,
) -> Result<()> {
    let DrainArguments { name, instance, .. } = arguments;
    let path = format!("/api/services/{name}/instances/{instance}/drain");
    client.send(Method::POST, &path, None).await?;
    let text = format!(
        "{name}: instance {instance} takes no more requests, and another takes its place\n"
    );
    Ok(out.text(&text)?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, Reply};

    #[tokio::test]
    async fn each_command_sends_its_request() {
        let fake = Fake::start(|request| match request.line().as_str() {
            "DELETE /api/services/login/instances/12"
            | "POST /api/services/login/instances/12/drain" => Reply::empty(),
            "POST /api/services/login/hold" => Reply::json(r#"{"name":"login","frozen":true}"#),
            "POST /api/services/login/resume" => {
                Reply::json(r#"{"name":"login","release":{"revision":8,"digest":"ab12cd34ef56"}}"#)
            }
            _ => Reply::problem(404, "there is no such page"),
        })
        .await;
        for (arguments, said) in [
            (
                &["kill", "login", "12"][..],
                "login: instance 12 is killed, and another takes its place\n",
            ),
            (
                &["drain", "login", "12"],
                "login: instance 12 takes no more requests, and another takes its place\n",
            ),
            (
                &["hold", "login"],
                "login: new releases wait until `wharf resume login`\n",
            ),
            (
                &["hold", "login", "--json"],
                "{\"name\":\"login\",\"frozen\":true}\n",
            ),
            (
                &["resume", "login"],
                "login: new releases are taken again; release 8 (ab12cd34) runs\n",
            ),
        ] {
            let run = fake.run(arguments).await;
            assert_eq!((run.code, run.out.as_str()), (0, said), "{}", run.err);
        }
    }

    #[tokio::test]
    async fn an_instance_that_is_gone_is_a_failure_that_the_host_explains() {
        let fake =
            Fake::start(|_| Reply::problem(404, "the service has no instance of that id")).await;
        let run = fake.run(&["kill", "login", "12"]).await;
        assert_eq!((run.code, run.out.as_str()), (1, ""));
        assert_eq!(run.err, "wharf: the service has no instance of that id\n");
    }

    #[tokio::test]
    async fn a_name_that_no_service_can_have_is_never_sent() {
        let fake = Fake::start(|_| Reply::json("{}")).await;
        assert_eq!(fake.run(&["hold", "../x"]).await.code, 2);
        assert_eq!(fake.run(&["kill", "login", "x"]).await.code, 2);
        assert!(fake.requests().is_empty());
    }
}
