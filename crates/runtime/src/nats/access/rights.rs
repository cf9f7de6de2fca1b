//! What each user of nats-server may do; all else is refused.
//!
//! This is the one table: configurations of nats-server are written from it. Must not know their
//! grammar.

use wire::subject;

/// Whom nats-server lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// Admin: writes configuration, makes the streams, reads everything.
    Admin,
    /// A gateway: stores alerts, reads configuration.
    Gateway,
    /// A worker: reads alerts and configuration, stores incidents.
    Worker,
    /// A person: backups, consumers of subscribers, a look at the streams.
    Operator,
}

/// What a user may do in the account that has the streams.
#[derive(Debug)]
pub(super) struct Rights {
    /// Subjects of streams under which it stores messages.
    pub stores: &'static [&'static str],
    /// Streams that it looks at as a whole.
    pub knows: &'static [&'static str],
    /// Streams that it reads, by consumers that it makes and removes.
    pub reads: &'static [&'static str],
    /// Streams that it reads single messages of.
    pub gets: &'static [&'static str],
    /// Streams that it makes.
    pub makes: &'static [&'static str],
    /// Streams that it shortens at their beginning.
    pub purges: &'static [&'static str],
    /// Streams that it removes single messages of.
    pub erases: &'static [&'static str],
    /// Other requests of JetStream.
    pub asks: &'static [&'static str],
    /// Other subjects that it publishes to.
    pub sends: &'static [&'static str],
}

/// How something goes past the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Said to all who listen.
    Said,
    /// Asked; all who listen may answer.
    Asked,
}

/// What goes from one user to others past the streams.
#[derive(Debug)]
pub(super) struct Flow {
    pub way: Way,
    pub subject: &'static str,
    pub from: User,
    pub to: &'static [User],
}

/// Everything that goes past the streams.
pub(super) const FLOWS: [Flow; 5] = [
    Flow {
        way: Way::Said,
        subject: subject::GATEWAYS_ALL,
        from: User::Gateway,
        to: &[User::Admin],
    },
    Flow {
        way: Way::Said,
        subject: subject::WORKERS_ALL,
        from: User::Worker,
        to: &[User::Admin, User::Worker],
    },
    Flow {
        way: Way::Said,
        subject: subject::OUTCOMES_ALL,
        from: User::Worker,
        to: &[User::Admin, User::Gateway],
    },
    Flow {
        way: Way::Asked,
        subject: subject::ROLL_CALL,
        from: User::Admin,
        to: &[User::Gateway, User::Worker],
    },
    Flow { way: Way::Asked, subject: subject::EXPLAIN, from: User::Admin, to: &[User::Worker] },
];

const EVERY_STREAM: [&str; 6] = [
    subject::CONTROL_STREAM,
    subject::ALERTS_STREAM,
    subject::INCIDENTS_STREAM,
    subject::APILOG_STREAM,
    subject::LAST_USE_STREAM,
    subject::LEASES_STREAM,
];

const NONE: Rights = Rights {
    stores: &[],
    knows: &[],
    reads: &[],
    gets: &[],
    makes: &[],
    purges: &[],
    erases: &[],
    asks: &[],
    sends: &[],
};

const ADMIN: Rights = Rights {
    stores: &[subject::CONTROL_ALL, subject::ALERTS, subject::LEASES_MARK],
    knows: &EVERY_STREAM,
    reads: &[
        subject::CONTROL_STREAM,
        subject::INCIDENTS_STREAM,
        subject::APILOG_STREAM,
        subject::LAST_USE_STREAM,
        subject::LEASES_STREAM,
    ],
    gets: &EVERY_STREAM,
    makes: &EVERY_STREAM,
    // Of leases, those that have run out.
    purges: &[subject::LEASES_STREAM],
    // Parked records that somebody is done with.
    erases: &[subject::INCIDENTS_STREAM],
    ..NONE
};

const GATEWAY: Rights = Rights {
    stores: &[
        subject::ALERTS,
        subject::APILOG_ALL,
        subject::LAST_USE_ALL,
        subject::LEASES_OF_GATEWAYS,
    ],
    knows: &[
        subject::CONTROL_STREAM,
        subject::ALERTS_STREAM,
        subject::APILOG_STREAM,
        subject::LAST_USE_STREAM,
        subject::LEASES_STREAM,
    ],
    reads: &[subject::CONTROL_STREAM],
    gets: &[subject::LEASES_STREAM],
    ..NONE
};

const WORKER: Rights = Rights {
    stores: &[
        subject::EVENTS_ALL,
        subject::STATES_ALL,
        subject::CHECKPOINTS_ALL,
        subject::PARKED_ALL,
        subject::APILOG_ALL,
    ],
    knows: &[
        subject::CONTROL_STREAM,
        subject::ALERTS_STREAM,
        subject::INCIDENTS_STREAM,
        subject::APILOG_STREAM,
    ],
    reads: &[subject::CONTROL_STREAM, subject::ALERTS_STREAM, subject::INCIDENTS_STREAM],
    gets: &[subject::INCIDENTS_STREAM],
    // What every partition is behind.
    purges: &[subject::ALERTS_STREAM],
    ..NONE
};

/// A restore stores what a backup has read, and an operator's consumer is that of a subscriber.
const OPERATOR: Rights = Rights {
    stores: &[
        subject::CONTROL_ALL,
        subject::ALERTS,
        subject::EVENTS_ALL,
        subject::STATES_ALL,
        subject::CHECKPOINTS_ALL,
        subject::PARKED_ALL,
    ],
    knows: &EVERY_STREAM,
    reads: &[subject::CONTROL_STREAM, subject::ALERTS_STREAM, subject::INCIDENTS_STREAM],
    gets: &[subject::CONTROL_STREAM, subject::ALERTS_STREAM, subject::INCIDENTS_STREAM],
    makes: &EVERY_STREAM,
    asks: &[
        "INFO",
        "STREAM.NAMES",
        "STREAM.LIST",
        "STREAM.UPDATE.*",
        "STREAM.LEADER.STEPDOWN.*",
        "CONSUMER.NAMES.*",
        "CONSUMER.LIST.*",
        "CONSUMER.INFO.*.*",
        "CONSUMER.DURABLE.CREATE.GANDER_INCIDENTS.*",
        "CONSUMER.LEADER.STEPDOWN.*.*",
    ],
    sends: &["$JS.ACK.GANDER_INCIDENTS.>", "$JS.ACK.*.*.GANDER_INCIDENTS.>"],
    ..NONE
};

impl User {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Gateway, Self::Worker, Self::Operator];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Operator => "operator",
        }
    }

    /// The account that it is in.
    #[must_use]
    pub const fn account(self) -> &'static str {
        match self {
            Self::Admin | Self::Operator => super::accounts::STREAMS,
            Self::Gateway => "GATEWAY",
            Self::Worker => "WORKER",
        }
    }

    /// Where it asks JetStream. In an account without streams the requests that are let through have
    /// names of a domain, because the server answers the plain ones itself: there is no JetStream.
    pub(crate) const fn api(self) -> &'static str {
        match self {
            Self::Admin | Self::Operator => API,
            Self::Gateway | Self::Worker => super::accounts::DOMAIN_API,
        }
    }

    /// Where it is answered, so that nobody else reads that.
    pub(crate) fn inbox(self) -> String {
        format!("_INBOX_{}", self.name())
    }

    /// The streams that it looks at before it begins.
    pub(crate) const fn streams(self) -> &'static [&'static str] {
        self.rights().knows
    }

    pub(super) const fn rights(self) -> &'static Rights {
        match self {
            Self::Admin => &ADMIN,
            Self::Gateway => &GATEWAY,
            Self::Worker => &WORKER,
            Self::Operator => &OPERATOR,
        }
    }
}

/// Where JetStream is asked in an account with streams.
pub(super) const API: &str = "$JS.API";

impl Rights {
    /// Requests of JetStream that have one answer, without what they begin with.
    pub fn requests(&self) -> impl Iterator<Item = String> {
        let of = |what: &'static str, streams: &'static [&'static str]| {
            streams.iter().map(move |stream| format!("{what}.{stream}"))
        };
        // After a reconnection the consumer is asked for; where it is gone or silent, it is replaced by
        // one with a name.
        let consumers = self.reads.iter().flat_map(|stream| {
            [
                format!("CONSUMER.CREATE.{stream}"),
                format!("CONSUMER.CREATE.{stream}.>"),
                format!("CONSUMER.DELETE.{stream}.*"),
                format!("CONSUMER.INFO.{stream}.*"),
            ]
        });
        of("STREAM.INFO", self.knows)
            .chain(consumers)
            .chain(of("STREAM.MSG.GET", self.gets))
            .chain(of("STREAM.CREATE", self.makes))
            .chain(of("STREAM.PURGE", self.purges))
            .chain(of("STREAM.MSG.DELETE", self.erases))
            .chain(self.asks.iter().map(|&asked| asked.to_owned()))
    }

    /// Requests of JetStream that are answered by messages.
    pub fn reading(&self) -> impl Iterator<Item = String> {
        self.reads.iter().map(|stream| format!("CONSUMER.MSG.NEXT.{stream}.*"))
    }
}
