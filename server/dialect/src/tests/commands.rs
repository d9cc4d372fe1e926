//! Catalog and session statements.

use super::refusal;
use crate::{Command, GuardLimits, NamePattern, SessionValue, Statement, TableName, parse};

fn command(text: &str) -> Command {
    match parse(text, &GuardLimits::default()) {
        Ok(Statement::Command(command)) => command,
        other => panic!("{text}: {other:?}"),
    }
}

fn table(name: &str) -> TableName {
    let mut parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    let name = parts.pop().unwrap();
    let database = parts.pop();
    TableName {
        catalog: parts.pop(),
        database,
        name,
    }
}

const EVENTS: &str = r#"
-- a table in the style of an audit log
CREATE EXTERNAL TABLE IF NOT EXISTS `Logs`.Audit_Events (
  `eventVersion` STRING COMMENT 'schema of the record',
  userIdentity STRUCT<
    type: STRING,
    principalId: STRING, -- who
    sessionContext: STRUCT<
      attributes: STRUCT<mfaAuthenticated: STRING, creationDate: STRING>,
      sessionIssuer: STRUCT<`type`: STRING, arn: STRING COMMENT 'full'>>>,
  resources ARRAY<STRUCT<arn:STRING, accountId:STRING, type:STRING>>,
  tags map<string, array<decimal(10, 2)>>,
  amount decimal( 12 , 3 ),
  note varchar(20)
)
COMMENT "audit"
PARTITIONED BY (region string, `dt` date COMMENT 'day')
CLUSTERED BY (amount) INTO 4 BUCKETS
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('ignore.malformed.json' = 'true', "serialization.format"="7")
STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
LOCATION 's3://lake/audit/'
TBLPROPERTIES ('projection.enabled'='true', 'projection.dt.format'='yyyy-MM-dd');
"#;

#[test]
fn create_table_becomes_glues_table() {
    let Command::CreateTable(create) = command(EVENTS) else {
        panic!()
    };
    assert!(create.if_not_exists && create.columns_declared && create.catalog.is_none());
    let table = create.table;
    assert_eq!(
        (table.database_name.as_str(), table.name.as_str()),
        ("logs", "audit_events")
    );
    assert_eq!(table.description.as_deref(), Some("audit"));
    assert_eq!(table.table_type.as_deref(), Some("EXTERNAL_TABLE"));
    let columns: Vec<(&str, &str)> = table
        .storage_descriptor
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.data_type.as_str()))
        .collect();
    assert_eq!(
        columns,
        [
            ("eventversion", "string"),
            (
                "useridentity",
                "struct<type:string,principalid:string,sessioncontext:struct<attributes:struct<mfaauthenticated:string,creationdate:string>,sessionissuer:struct<type:string,arn:string>>>"
            ),
            (
                "resources",
                "array<struct<arn:string,accountid:string,type:string>>"
            ),
            ("tags", "map<string,array<decimal(10,2)>>"),
            ("amount", "decimal(12,3)"),
            ("note", "varchar(20)"),
        ]
    );
    assert_eq!(
        table.storage_descriptor.columns[0].comment.as_deref(),
        Some("schema of the record")
    );
    let keys: Vec<(&str, &str)> = table
        .partition_keys
        .iter()
        .map(|c| (c.name.as_str(), c.data_type.as_str()))
        .collect();
    assert_eq!(keys, [("region", "string"), ("dt", "date")]);
    assert_eq!(table.storage_descriptor.number_of_buckets, 4);
    assert_eq!(table.storage_descriptor.bucket_columns, ["amount"]);
    assert_eq!(
        table.storage_descriptor.location.as_deref(),
        Some("s3://lake/audit/")
    );
    let serde = table.storage_descriptor.serde_info.unwrap();
    assert_eq!(
        serde.serialization_library.as_deref(),
        Some("org.openx.data.jsonserde.JsonSerDe")
    );
    assert_eq!(serde.parameters["serialization.format"], "7");
    assert_eq!(table.parameters["projection.enabled"], "true");
    assert_eq!(table.parameters["EXTERNAL"], "TRUE");
}

#[test]
fn stored_as_words_name_their_classes() {
    for (word, input, serde) in [
        (
            "PARQUET",
            "parquet.MapredParquetInputFormat",
            "parquet.serde.ParquetHiveSerDe",
        ),
        ("orc", "orc.OrcInputFormat", "orc.OrcSerde"),
        ("TextFile", "mapred.TextInputFormat", "lazy.LazySimpleSerDe"),
        ("AVRO", "avro.AvroContainerInputFormat", "avro.AvroSerDe"),
        (
            "ION",
            "ionhiveserde.formats.IonInputFormat",
            "ionhiveserde.IonHiveSerDe",
        ),
        ("SEQUENCEFILE", "SequenceFileInputFormat", "LazySimpleSerDe"),
        ("RCFILE", "RCFileInputFormat", "LazyBinaryColumnarSerDe"),
    ] {
        let text = format!("CREATE EXTERNAL TABLE t (a int) STORED AS {word} LOCATION 's3://b/p/'");
        let Command::CreateTable(create) = command(&text) else {
            panic!()
        };
        let storage = create.table.storage_descriptor;
        assert!(storage.input_format.unwrap().ends_with(input), "{word}");
        assert!(
            storage
                .serde_info
                .unwrap()
                .serialization_library
                .unwrap()
                .ends_with(serde),
            "{word}"
        );
    }
}

#[test]
fn delimited_rows_have_hives_parameter_names() {
    let Command::CreateTable(create) = command(
        r"CREATE EXTERNAL TABLE awsdatacatalog.db.t (a int, b array<string>) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t' ESCAPED BY '\\'
        COLLECTION ITEMS TERMINATED BY '\002' MAP KEYS TERMINATED BY ':' LINES TERMINATED BY '\n' NULL DEFINED AS ''
        LOCATION 's3://b/p/'",
    ) else {
        panic!()
    };
    assert_eq!(create.catalog.as_deref(), Some("awsdatacatalog"));
    let parameters = create.table.storage_descriptor.serde_info.unwrap().parameters;
    for (key, value) in [
        ("field.delim", "\t"),
        ("serialization.format", "\t"),
        ("escape.delim", "\\"),
        ("colelction.delim", "\u{2}"),
        ("mapkey.delim", ":"),
        ("line.delim", "\n"),
        ("serialization.null.format", ""),
    ] {
        assert_eq!(parameters[key], value, "{key}");
    }
}

#[test]
fn clauses_come_in_any_order_and_columns_may_be_missing() {
    let Command::CreateTable(create) = command(
        "create external table T tblproperties ('a'='b') location 's3://b/' stored as parquet comment 'c'",
    ) else {
        panic!()
    };
    assert!(!create.columns_declared);
    assert_eq!(create.table.name, "t");
    assert_eq!(create.table.database_name, "");
    assert_eq!(create.table.description.as_deref(), Some("c"));
}

#[test]
fn partitions_are_added_and_dropped_several_at_a_time() {
    let Command::AddPartitions {
        table: name,
        if_not_exists,
        partitions,
    } = command(
        "ALTER TABLE db.t ADD IF NOT EXISTS PARTITION (dt = '2024-01-01', hour = 7) LOCATION 's3://b/x/' PARTITION (dt=DATE '2024-01-02', hour=-1)",
    )
    else {
        panic!()
    };
    assert_eq!(name, table("db.t"));
    assert!(if_not_exists);
    assert_eq!(
        partitions[0].values,
        [
            ("dt".to_owned(), "2024-01-01".to_owned()),
            ("hour".to_owned(), "7".to_owned())
        ]
    );
    assert_eq!(partitions[0].location.as_deref(), Some("s3://b/x/"));
    assert_eq!(partitions[1].values[1].1, "-1");
    let Command::DropPartitions {
        if_exists,
        partitions,
        ..
    } = command("ALTER TABLE t DROP IF EXISTS PARTITION (dt='a'), PARTITION (dt=\"b\")")
    else {
        panic!()
    };
    assert!(if_exists);
    assert_eq!(partitions.len(), 2);
    assert!(refusal("ALTER TABLE t DROP PARTITION (dt > '2024')").contains("exact values"));
}

#[test]
fn small_statements_have_their_shapes() {
    let hive = |text| Some(NamePattern::hive(text).unwrap());
    let database = |name: &str| crate::DatabaseName {
        catalog: None,
        name: name.to_owned(),
    };
    for (text, expected) in [
        ("SHOW DATABASES", Command::ShowDatabases { pattern: None }),
        (
            "show schemas like 'a*|b'",
            Command::ShowDatabases {
                pattern: hive("a*|b"),
            },
        ),
        (
            "SHOW TABLES",
            Command::ShowTables {
                database: None,
                pattern: None,
            },
        ),
        (
            "SHOW TABLES IN db '*x*';",
            Command::ShowTables {
                database: Some(database("db")),
                pattern: hive("*x*"),
            },
        ),
        (
            "SHOW PARTITIONS db.t",
            Command::ShowPartitions { table: table("db.t") },
        ),
        (
            "SHOW COLUMNS IN t FROM db",
            Command::ShowColumns { table: table("db.t") },
        ),
        (
            "SHOW COLUMNS FROM db.t",
            Command::ShowColumns { table: table("db.t") },
        ),
        (
            "SHOW CREATE TABLE `T`",
            Command::ShowCreateTable { table: table("t") },
        ),
        (
            "SHOW TBLPROPERTIES t ('k')",
            Command::ShowTableProperties {
                table: table("t"),
                property: Some("k".into()),
            },
        ),
        ("SHOW SESSION", Command::ShowSession { pattern: None }),
        ("SHOW FUNCTIONS", Command::ShowFunctions { pattern: None }),
        ("SHOW CATALOGS", Command::ShowCatalogs { pattern: None }),
        (
            "USE Db",
            Command::Use {
                database: database("db"),
            },
        ),
        (
            "DROP TABLE IF EXISTS a.b",
            Command::DropTable {
                if_exists: true,
                table: table("a.b"),
            },
        ),
        (
            "DROP SCHEMA x CASCADE",
            Command::DropDatabase {
                if_exists: false,
                database: database("x"),
                cascade: true,
            },
        ),
        (
            "SET SESSION max_data_scanned = '10GB'",
            Command::SetSession {
                name: "max_data_scanned".into(),
                value: SessionValue::Text("10GB".into()),
            },
        ),
        (
            "SET a.b = -5",
            Command::SetSession {
                name: "a.b".into(),
                value: SessionValue::Number("-5".into()),
            },
        ),
        (
            "SET session = true",
            Command::SetSession {
                name: "session".into(),
                value: SessionValue::Boolean(true),
            },
        ),
        ("RESET SESSION a", Command::ResetSession { name: "a".into() }),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
}
