//! The port to runs of messages, as the tests have it answer.

use super::*;

fn run_of(message: &str, state: &'static str) -> Run {
    Run {
        id: 7,
        message: message.to_owned(),
        segment: "big_spenders".parse().unwrap(),
        causes: vec!["import"],
        entered_after: Some(moment(1)),
        entered_before: moment(5),
        author: "ops".to_owned(),
        why: "history came".to_owned(),
        asked_at: moment(5),
        started: (state != "counting").then(|| ("ann".to_owned(), moment(6))),
        stopped_by: None,
        ended_at: None,
        state,
        reason: None,
        counted: RunTally {
            members: 9,
            sends: 4,
            left_out: [("no_consent".to_owned(), 5)].into(),
        },
        sent: RunTally::default(),
        sends: [("accepted", 2)].into(),
        skipped: [("cap_person".to_owned(), 1)].into(),
    }
}

fn known(message: &str, run: u64) -> Result<(), PortError> {
    if run == 7 && message == "welcome" {
        return Ok(());
    }
    Err(PortError::new(
        PortErrorKind::NotFound,
        "there is no such run of this message",
    ))
}

#[async_trait]
impl Runs for Ports {
    async fn ask(&self, _: &SpaceId, asked: RunRequest) -> Result<Run, PortError> {
        if asked.message != "welcome" {
            return Err(PortError::new(PortErrorKind::NotFound, "there is no such message"));
        }
        let told = (asked.causes.join(","), asked.entered_after, asked.why);
        let mut run = run_of("welcome", "counting");
        if told == ("import".to_owned(), Some(moment(1)), "history came".to_owned()) {
            run.author = asked.author;
        }
        Ok(run)
    }

    async fn start(&self, _: &SpaceId, message: &str, run: u64, count: u64, by: &str) -> Result<Run, PortError> {
        known(message, run)?;
        if count != 4 {
            let text = "the run was counted to send to 4: confirm that number";
            return Err(PortError::new(PortErrorKind::Conflict, text));
        }
        let mut run = run_of(message, "sending");
        run.started = Some((by.to_owned(), moment(6)));
        Ok(run)
    }

    async fn stop(&self, _: &SpaceId, message: &str, run: u64, by: &str) -> Result<Run, PortError> {
        known(message, run)?;
        let mut run = run_of(message, "stopping");
        run.stopped_by = Some(by.to_owned());
        Ok(run)
    }

    async fn list(
        &self,
        space: &SpaceId,
        message: Option<&str>,
        run: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Run>, PortError> {
        let message = message.map_or_else(|| format!("of_{space}"), str::to_owned);
        if run.is_some_and(|run| known(&message, run).is_err()) {
            return Ok(Vec::new());
        }
        Ok(vec![run_of(&message, "done"); limit.min(2)])
    }
}
