impl serde::Serialize for Alert {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.id.is_empty() {
            len += 1;
        }
        if !self.token.is_empty() {
            len += 1;
        }
        if !self.from.is_empty() {
            len += 1;
        }
        if self.receive_time.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("gander.events.v1.Alert", len)?;
        if !self.id.is_empty() {
            struct_ser.serialize_field("id", &self.id)?;
        }
        if !self.token.is_empty() {
            struct_ser.serialize_field("token", &self.token)?;
        }
        if !self.from.is_empty() {
            struct_ser.serialize_field("from", &self.from)?;
        }
        if let Some(v) = self.receive_time.as_ref() {
            struct_ser.serialize_field("receiveTime", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Alert {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "id",
            "token",
            "from",
            "receive_time",
            "receiveTime",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Id,
            Token,
            From,
            ReceiveTime,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "id" => Ok(GeneratedField::Id),
                            "token" => Ok(GeneratedField::Token),
                            "from" => Ok(GeneratedField::From),
                            "receiveTime" | "receive_time" => Ok(GeneratedField::ReceiveTime),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Alert;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct gander.events.v1.Alert")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Alert, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut id__ = None;
                let mut token__ = None;
                let mut from__ = None;
                let mut receive_time__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Id => {
                            if id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("id"));
                            }
                            id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Token => {
                            if token__.is_some() {
                                return Err(serde::de::Error::duplicate_field("token"));
                            }
                            token__ = Some(map_.next_value()?);
                        }
                        GeneratedField::From => {
                            if from__.is_some() {
                                return Err(serde::de::Error::duplicate_field("from"));
                            }
                            from__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ReceiveTime => {
                            if receive_time__.is_some() {
                                return Err(serde::de::Error::duplicate_field("receiveTime"));
                            }
                            receive_time__ = map_.next_value()?;
                        }
                    }
                }
                Ok(Alert {
                    id: id__.unwrap_or_default(),
                    token: token__.unwrap_or_default(),
                    from: from__.unwrap_or_default(),
                    receive_time: receive_time__,
                })
            }
        }
        deserializer.deserialize_struct("gander.events.v1.Alert", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Incident {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.name.is_empty() {
            len += 1;
        }
        if !self.id.is_empty() {
            len += 1;
        }
        if !self.team.is_empty() {
            len += 1;
        }
        if !self.service.is_empty() {
            len += 1;
        }
        if !self.filter.is_empty() {
            len += 1;
        }
        if self.urgency != 0 {
            len += 1;
        }
        if !self.title.is_empty() {
            len += 1;
        }
        if !self.description.is_empty() {
            len += 1;
        }
        if !self.mapped_value.is_empty() {
            len += 1;
        }
        if self.status != 0 {
            len += 1;
        }
        if self.occurrences != 0 {
            len += 1;
        }
        if self.create_time.is_some() {
            len += 1;
        }
        if self.last_occurrence_time.is_some() {
            len += 1;
        }
        if self.resolve_time.is_some() {
            len += 1;
        }
        if self.resolve_reason != 0 {
            len += 1;
        }
        if !self.resolver.is_empty() {
            len += 1;
        }
        if !self.token.is_empty() {
            len += 1;
        }
        if !self.alert.is_empty() {
            len += 1;
        }
        if !self.from.is_empty() {
            len += 1;
        }
        if !self.source_payload.is_empty() {
            len += 1;
        }
        if self.source_payload_omitted {
            len += 1;
        }
        if self.acknowledge_time.is_some() {
            len += 1;
        }
        if !self.acknowledger.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("gander.events.v1.Incident", len)?;
        if !self.name.is_empty() {
            struct_ser.serialize_field("name", &self.name)?;
        }
        if !self.id.is_empty() {
            struct_ser.serialize_field("id", &self.id)?;
        }
        if !self.team.is_empty() {
            struct_ser.serialize_field("team", &self.team)?;
        }
        if !self.service.is_empty() {
            struct_ser.serialize_field("service", &self.service)?;
        }
        if !self.filter.is_empty() {
            struct_ser.serialize_field("filter", &self.filter)?;
        }
        if self.urgency != 0 {
            let v = Urgency::try_from(self.urgency)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.urgency)))?;
            struct_ser.serialize_field("urgency", &v)?;
        }
        if !self.title.is_empty() {
            struct_ser.serialize_field("title", &self.title)?;
        }
        if !self.description.is_empty() {
            struct_ser.serialize_field("description", &self.description)?;
        }
        if !self.mapped_value.is_empty() {
            struct_ser.serialize_field("mappedValue", &self.mapped_value)?;
        }
        if self.status != 0 {
            let v = IncidentStatus::try_from(self.status)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.status)))?;
            struct_ser.serialize_field("status", &v)?;
        }
        if self.occurrences != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("occurrences", ToString::to_string(&self.occurrences).as_str())?;
        }
        if let Some(v) = self.create_time.as_ref() {
            struct_ser.serialize_field("createTime", v)?;
        }
        if let Some(v) = self.last_occurrence_time.as_ref() {
            struct_ser.serialize_field("lastOccurrenceTime", v)?;
        }
        if let Some(v) = self.resolve_time.as_ref() {
            struct_ser.serialize_field("resolveTime", v)?;
        }
        if self.resolve_reason != 0 {
            let v = ResolveReason::try_from(self.resolve_reason)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.resolve_reason)))?;
            struct_ser.serialize_field("resolveReason", &v)?;
        }
        if !self.resolver.is_empty() {
            struct_ser.serialize_field("resolver", &self.resolver)?;
        }
        if !self.token.is_empty() {
            struct_ser.serialize_field("token", &self.token)?;
        }
        if !self.alert.is_empty() {
            struct_ser.serialize_field("alert", &self.alert)?;
        }
        if !self.from.is_empty() {
            struct_ser.serialize_field("from", &self.from)?;
        }
        if !self.source_payload.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("sourcePayload", pbjson::private::base64::encode(&self.source_payload).as_str())?;
        }
        if self.source_payload_omitted {
            struct_ser.serialize_field("sourcePayloadOmitted", &self.source_payload_omitted)?;
        }
        if let Some(v) = self.acknowledge_time.as_ref() {
            struct_ser.serialize_field("acknowledgeTime", v)?;
        }
        if !self.acknowledger.is_empty() {
            struct_ser.serialize_field("acknowledger", &self.acknowledger)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Incident {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "name",
            "id",
            "team",
            "service",
            "filter",
            "urgency",
            "title",
            "description",
            "mapped_value",
            "mappedValue",
            "status",
            "occurrences",
            "create_time",
            "createTime",
            "last_occurrence_time",
            "lastOccurrenceTime",
            "resolve_time",
            "resolveTime",
            "resolve_reason",
            "resolveReason",
            "resolver",
            "token",
            "alert",
            "from",
            "source_payload",
            "sourcePayload",
            "source_payload_omitted",
            "sourcePayloadOmitted",
            "acknowledge_time",
            "acknowledgeTime",
            "acknowledger",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Name,
            Id,
            Team,
            Service,
            Filter,
            Urgency,
            Title,
            Description,
            MappedValue,
            Status,
            Occurrences,
            CreateTime,
            LastOccurrenceTime,
            ResolveTime,
            ResolveReason,
            Resolver,
            Token,
            Alert,
            From,
            SourcePayload,
            SourcePayloadOmitted,
            AcknowledgeTime,
            Acknowledger,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "name" => Ok(GeneratedField::Name),
                            "id" => Ok(GeneratedField::Id),
                            "team" => Ok(GeneratedField::Team),
                            "service" => Ok(GeneratedField::Service),
                            "filter" => Ok(GeneratedField::Filter),
                            "urgency" => Ok(GeneratedField::Urgency),
                            "title" => Ok(GeneratedField::Title),
                            "description" => Ok(GeneratedField::Description),
                            "mappedValue" | "mapped_value" => Ok(GeneratedField::MappedValue),
                            "status" => Ok(GeneratedField::Status),
                            "occurrences" => Ok(GeneratedField::Occurrences),
                            "createTime" | "create_time" => Ok(GeneratedField::CreateTime),
                            "lastOccurrenceTime" | "last_occurrence_time" => Ok(GeneratedField::LastOccurrenceTime),
                            "resolveTime" | "resolve_time" => Ok(GeneratedField::ResolveTime),
                            "resolveReason" | "resolve_reason" => Ok(GeneratedField::ResolveReason),
                            "resolver" => Ok(GeneratedField::Resolver),
                            "token" => Ok(GeneratedField::Token),
                            "alert" => Ok(GeneratedField::Alert),
                            "from" => Ok(GeneratedField::From),
                            "sourcePayload" | "source_payload" => Ok(GeneratedField::SourcePayload),
                            "sourcePayloadOmitted" | "source_payload_omitted" => Ok(GeneratedField::SourcePayloadOmitted),
                            "acknowledgeTime" | "acknowledge_time" => Ok(GeneratedField::AcknowledgeTime),
                            "acknowledger" => Ok(GeneratedField::Acknowledger),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Incident;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct gander.events.v1.Incident")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Incident, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut name__ = None;
                let mut id__ = None;
                let mut team__ = None;
                let mut service__ = None;
                let mut filter__ = None;
                let mut urgency__ = None;
                let mut title__ = None;
                let mut description__ = None;
                let mut mapped_value__ = None;
                let mut status__ = None;
                let mut occurrences__ = None;
                let mut create_time__ = None;
                let mut last_occurrence_time__ = None;
                let mut resolve_time__ = None;
                let mut resolve_reason__ = None;
                let mut resolver__ = None;
                let mut token__ = None;
                let mut alert__ = None;
                let mut from__ = None;
                let mut source_payload__ = None;
                let mut source_payload_omitted__ = None;
                let mut acknowledge_time__ = None;
                let mut acknowledger__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Name => {
                            if name__.is_some() {
                                return Err(serde::de::Error::duplicate_field("name"));
                            }
                            name__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Id => {
                            if id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("id"));
                            }
                            id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Team => {
                            if team__.is_some() {
                                return Err(serde::de::Error::duplicate_field("team"));
                            }
                            team__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Service => {
                            if service__.is_some() {
                                return Err(serde::de::Error::duplicate_field("service"));
                            }
                            service__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Filter => {
                            if filter__.is_some() {
                                return Err(serde::de::Error::duplicate_field("filter"));
                            }
                            filter__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Urgency => {
                            if urgency__.is_some() {
                                return Err(serde::de::Error::duplicate_field("urgency"));
                            }
                            urgency__ = Some(map_.next_value::<Urgency>()? as i32);
                        }
                        GeneratedField::Title => {
                            if title__.is_some() {
                                return Err(serde::de::Error::duplicate_field("title"));
                            }
                            title__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Description => {
                            if description__.is_some() {
                                return Err(serde::de::Error::duplicate_field("description"));
                            }
                            description__ = Some(map_.next_value()?);
                        }
                        GeneratedField::MappedValue => {
                            if mapped_value__.is_some() {
                                return Err(serde::de::Error::duplicate_field("mappedValue"));
                            }
                            mapped_value__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Status => {
                            if status__.is_some() {
                                return Err(serde::de::Error::duplicate_field("status"));
                            }
                            status__ = Some(map_.next_value::<IncidentStatus>()? as i32);
                        }
                        GeneratedField::Occurrences => {
                            if occurrences__.is_some() {
                                return Err(serde::de::Error::duplicate_field("occurrences"));
                            }
                            occurrences__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::CreateTime => {
                            if create_time__.is_some() {
                                return Err(serde::de::Error::duplicate_field("createTime"));
                            }
                            create_time__ = map_.next_value()?;
                        }
                        GeneratedField::LastOccurrenceTime => {
                            if last_occurrence_time__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lastOccurrenceTime"));
                            }
                            last_occurrence_time__ = map_.next_value()?;
                        }
                        GeneratedField::ResolveTime => {
                            if resolve_time__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resolveTime"));
                            }
                            resolve_time__ = map_.next_value()?;
                        }
                        GeneratedField::ResolveReason => {
                            if resolve_reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resolveReason"));
                            }
                            resolve_reason__ = Some(map_.next_value::<ResolveReason>()? as i32);
                        }
                        GeneratedField::Resolver => {
                            if resolver__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resolver"));
                            }
                            resolver__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Token => {
                            if token__.is_some() {
                                return Err(serde::de::Error::duplicate_field("token"));
                            }
                            token__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Alert => {
                            if alert__.is_some() {
                                return Err(serde::de::Error::duplicate_field("alert"));
                            }
                            alert__ = Some(map_.next_value()?);
                        }
                        GeneratedField::From => {
                            if from__.is_some() {
                                return Err(serde::de::Error::duplicate_field("from"));
                            }
                            from__ = Some(map_.next_value()?);
                        }
                        GeneratedField::SourcePayload => {
                            if source_payload__.is_some() {
                                return Err(serde::de::Error::duplicate_field("sourcePayload"));
                            }
                            source_payload__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::SourcePayloadOmitted => {
                            if source_payload_omitted__.is_some() {
                                return Err(serde::de::Error::duplicate_field("sourcePayloadOmitted"));
                            }
                            source_payload_omitted__ = Some(map_.next_value()?);
                        }
                        GeneratedField::AcknowledgeTime => {
                            if acknowledge_time__.is_some() {
                                return Err(serde::de::Error::duplicate_field("acknowledgeTime"));
                            }
                            acknowledge_time__ = map_.next_value()?;
                        }
                        GeneratedField::Acknowledger => {
                            if acknowledger__.is_some() {
                                return Err(serde::de::Error::duplicate_field("acknowledger"));
                            }
                            acknowledger__ = Some(map_.next_value()?);
                        }
                    }
                }
                Ok(Incident {
                    name: name__.unwrap_or_default(),
                    id: id__.unwrap_or_default(),
                    team: team__.unwrap_or_default(),
                    service: service__.unwrap_or_default(),
                    filter: filter__.unwrap_or_default(),
                    urgency: urgency__.unwrap_or_default(),
                    title: title__.unwrap_or_default(),
                    description: description__.unwrap_or_default(),
                    mapped_value: mapped_value__.unwrap_or_default(),
                    status: status__.unwrap_or_default(),
                    occurrences: occurrences__.unwrap_or_default(),
                    create_time: create_time__,
                    last_occurrence_time: last_occurrence_time__,
                    resolve_time: resolve_time__,
                    resolve_reason: resolve_reason__.unwrap_or_default(),
                    resolver: resolver__.unwrap_or_default(),
                    token: token__.unwrap_or_default(),
                    alert: alert__.unwrap_or_default(),
                    from: from__.unwrap_or_default(),
                    source_payload: source_payload__.unwrap_or_default(),
                    source_payload_omitted: source_payload_omitted__.unwrap_or_default(),
                    acknowledge_time: acknowledge_time__,
                    acknowledger: acknowledger__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("gander.events.v1.Incident", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for IncidentEvent {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.id.is_empty() {
            len += 1;
        }
        if !self.r#type.is_empty() {
            len += 1;
        }
        if self.incident.is_some() {
            len += 1;
        }
        if self.alert.is_some() {
            len += 1;
        }
        if self.alert_count != 0 {
            len += 1;
        }
        if self.time.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("gander.events.v1.IncidentEvent", len)?;
        if !self.id.is_empty() {
            struct_ser.serialize_field("id", &self.id)?;
        }
        if !self.r#type.is_empty() {
            struct_ser.serialize_field("type", &self.r#type)?;
        }
        if let Some(v) = self.incident.as_ref() {
            struct_ser.serialize_field("incident", v)?;
        }
        if let Some(v) = self.alert.as_ref() {
            struct_ser.serialize_field("alert", v)?;
        }
        if self.alert_count != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("alertCount", ToString::to_string(&self.alert_count).as_str())?;
        }
        if let Some(v) = self.time.as_ref() {
            struct_ser.serialize_field("time", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for IncidentEvent {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "id",
            "type",
            "incident",
            "alert",
            "alert_count",
            "alertCount",
            "time",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Id,
            Type,
            Incident,
            Alert,
            AlertCount,
            Time,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "id" => Ok(GeneratedField::Id),
                            "type" => Ok(GeneratedField::Type),
                            "incident" => Ok(GeneratedField::Incident),
                            "alert" => Ok(GeneratedField::Alert),
                            "alertCount" | "alert_count" => Ok(GeneratedField::AlertCount),
                            "time" => Ok(GeneratedField::Time),
                            _ => Err(serde::de::Error::unknown_field(value, FIELDS)),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = IncidentEvent;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct gander.events.v1.IncidentEvent")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<IncidentEvent, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut id__ = None;
                let mut r#type__ = None;
                let mut incident__ = None;
                let mut alert__ = None;
                let mut alert_count__ = None;
                let mut time__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Id => {
                            if id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("id"));
                            }
                            id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Type => {
                            if r#type__.is_some() {
                                return Err(serde::de::Error::duplicate_field("type"));
                            }
                            r#type__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Incident => {
                            if incident__.is_some() {
                                return Err(serde::de::Error::duplicate_field("incident"));
                            }
                            incident__ = map_.next_value()?;
                        }
                        GeneratedField::Alert => {
                            if alert__.is_some() {
                                return Err(serde::de::Error::duplicate_field("alert"));
                            }
                            alert__ = map_.next_value()?;
                        }
                        GeneratedField::AlertCount => {
                            if alert_count__.is_some() {
                                return Err(serde::de::Error::duplicate_field("alertCount"));
                            }
                            alert_count__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Time => {
                            if time__.is_some() {
                                return Err(serde::de::Error::duplicate_field("time"));
                            }
                            time__ = map_.next_value()?;
                        }
                    }
                }
                Ok(IncidentEvent {
                    id: id__.unwrap_or_default(),
                    r#type: r#type__.unwrap_or_default(),
                    incident: incident__,
                    alert: alert__,
                    alert_count: alert_count__.unwrap_or_default(),
                    time: time__,
                })
            }
        }
        deserializer.deserialize_struct("gander.events.v1.IncidentEvent", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for IncidentStatus {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "INCIDENT_STATUS_UNSPECIFIED",
            Self::Open => "INCIDENT_STATUS_OPEN",
            Self::Resolved => "INCIDENT_STATUS_RESOLVED",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for IncidentStatus {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "INCIDENT_STATUS_UNSPECIFIED",
            "INCIDENT_STATUS_OPEN",
            "INCIDENT_STATUS_RESOLVED",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = IncidentStatus;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "INCIDENT_STATUS_UNSPECIFIED" => Ok(IncidentStatus::Unspecified),
                    "INCIDENT_STATUS_OPEN" => Ok(IncidentStatus::Open),
                    "INCIDENT_STATUS_RESOLVED" => Ok(IncidentStatus::Resolved),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for ResolveReason {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "RESOLVE_REASON_UNSPECIFIED",
            Self::Alert => "RESOLVE_REASON_ALERT",
            Self::Principal => "RESOLVE_REASON_PRINCIPAL",
            Self::ServiceDeleted => "RESOLVE_REASON_SERVICE_DELETED",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for ResolveReason {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "RESOLVE_REASON_UNSPECIFIED",
            "RESOLVE_REASON_ALERT",
            "RESOLVE_REASON_PRINCIPAL",
            "RESOLVE_REASON_SERVICE_DELETED",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = ResolveReason;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "RESOLVE_REASON_UNSPECIFIED" => Ok(ResolveReason::Unspecified),
                    "RESOLVE_REASON_ALERT" => Ok(ResolveReason::Alert),
                    "RESOLVE_REASON_PRINCIPAL" => Ok(ResolveReason::Principal),
                    "RESOLVE_REASON_SERVICE_DELETED" => Ok(ResolveReason::ServiceDeleted),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for Urgency {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "URGENCY_UNSPECIFIED",
            Self::High => "URGENCY_HIGH",
            Self::Low => "URGENCY_LOW",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for Urgency {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "URGENCY_UNSPECIFIED",
            "URGENCY_HIGH",
            "URGENCY_LOW",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = Urgency;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "URGENCY_UNSPECIFIED" => Ok(Urgency::Unspecified),
                    "URGENCY_HIGH" => Ok(Urgency::High),
                    "URGENCY_LOW" => Ok(Urgency::Low),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
