//! Who reads which spaces by SQL.

use super::*;
use kith_catalog::TablePointers;
use kith_lake::{Commit, rows, tables};
use kith_types::{Address, SystemClock, Timestamp};

struct World {
    _folder: tempfile::TempDir,
    sql: LakeSql,
}

fn space(name: &str) -> SpaceId {
    name.parse().unwrap()
}

impl World {
    /// A server with the spaces `main` and `brand_b`, and `brand_c`, of which nobody has said anything.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pointers = Arc::new(TablePointers::open(&folder.path().join("tables.db")).unwrap());
        let root = folder.path().to_str().unwrap();
        let lake = Arc::new(Lake::open(root, pointers, Arc::new(SystemClock)).unwrap());
        let catalog = Arc::new(Catalog::in_memory(Arc::new(SystemClock)).unwrap());
        for name in ["brand_b", "brand_c"] {
            catalog.create_space(&space(name)).unwrap();
        }
        let engine = SqlEngine::new(Arc::clone(&lake), SqlConfig::default()).unwrap();
        let sql = LakeSql { engine, catalog, lake };
        let world = Self { _folder: folder, sql };
        world.reject(&space("main"), &["wrong", "late"]).await;
        world.reject(&space("brand_b"), &["wrong"]).await;
        world
    }

    /// Rejects of these codes as rows of a space.
    async fn reject(&self, space: &SpaceId, codes: &[&str]) {
        let lake = &self.sql.lake;
        lake.ensure_space(space).await.unwrap();
        let rejects: Vec<rows::RejectRow> = (0..)
            .zip(codes)
            .map(|(sequence, code)| rows::RejectRow {
                address: Address {
                    generation: 1,
                    partition: 0,
                    sequence,
                    index: 0,
                },
                received_at: Timestamp::from_millis(1_800_000_000_000),
                source: "web".parse().unwrap(),
                code: (*code).into(),
                message: "".into(),
                path: "".into(),
                original: "".into(),
            })
            .collect();
        let batch = rows::rejects(&rejects).unwrap();
        let table = tables::clean_rejects();
        let file = lake.write(space, table, None, &[batch]).await.unwrap();
        lake.append(space, table, vec![file], &Commit::default()).await.unwrap();
    }

    /// The rows as they are sent, or what is said instead.
    async fn run(&self, readable: SqlSpaces, from: &str, sql: &str) -> Result<String, PortError> {
        let request = SqlRequest {
            sql: sql.to_owned(),
            space: space(from),
            readable,
            limit: None,
        };
        let mut rows = self.sql.run(request).await?;
        let mut text = String::new();
        while let Some(lines) = rows.next().await {
            text.push_str(std::str::from_utf8(&lines?).unwrap());
        }
        Ok(text)
    }
}

#[tokio::test]
async fn spc_1_the_administrator_reads_and_joins_all_spaces_and_short_names_are_of_the_asking_one() {
    let world = World::new().await;
    let all = async |from: &str, sql: &str| world.run(SqlSpaces::All, from, sql).await.unwrap();
    assert_eq!(
        all("main", "SELECT count(*) AS n FROM brand_b.clean.rejects").await,
        "{\"n\":1}\n"
    );
    let joined =
        "SELECT ours.code AS code FROM clean.rejects ours JOIN brand_b.clean.rejects theirs ON theirs.code = ours.code";
    assert_eq!(all("main", joined).await, "{\"code\":\"wrong\"}\n");
    assert_eq!(
        all("main", "SELECT count(*) AS n FROM clean.rejects").await,
        "{\"n\":2}\n"
    );
    assert_eq!(
        all("brand_b", "SELECT count(*) AS n FROM clean.rejects").await,
        "{\"n\":1}\n"
    );
    // A space before its first event, seen from another.
    assert_eq!(
        all("main", "SELECT count(*) AS n FROM brand_c.curated.profiles").await,
        "{\"n\":0}\n"
    );
    let nowhere = world.run(SqlSpaces::All, "nowhere", "SELECT 1 AS n").await.unwrap_err();
    assert_eq!(nowhere.kind(), PortErrorKind::NotFound);
}

#[tokio::test]
async fn spc_1_whoever_reads_one_space_learns_of_no_other_by_sql() {
    let world = World::new().await;
    let own = async |from: &str, sql: &str| world.run(SqlSpaces::Only(space("brand_b")), from, sql).await;
    assert_eq!(
        own("brand_b", "SELECT count(*) AS n FROM clean.rejects").await.unwrap(),
        "{\"n\":1}\n"
    );
    let listed = "SELECT DISTINCT table_catalog AS space FROM information_schema.tables";
    assert_eq!(own("brand_b", listed).await.unwrap(), "{\"space\":\"brand_b\"}\n");
    // Another space, as a database and as the one that is asked from, is told like one that there is not.
    let hidden = own("brand_b", "SELECT * FROM main.clean.rejects").await.unwrap_err();
    let never = own("brand_b", "SELECT * FROM nowhere.clean.rejects").await.unwrap_err();
    assert_eq!(hidden.to_string().replace("main", "nowhere"), never.to_string());
    for sql in ["SELECT 1 AS n", "SELECT count(*) AS n FROM clean.rejects"] {
        let hidden = own("main", sql).await.unwrap_err();
        let never = own("nowhere", sql).await.unwrap_err();
        assert_eq!(
            (hidden.kind(), never.kind()),
            (PortErrorKind::NotFound, PortErrorKind::NotFound)
        );
        assert_eq!(hidden.to_string().replace("main", "nowhere"), never.to_string());
    }
}
