//! HTTP's anomalies.

use mlua::{Lua, Table};

use crate::engine::Engine;
use crate::proto::http::anomaly::{ANOMALIES, Nature};

/// What can be wrong, by number from 0: `name`, `nature`, `alert`, and
/// whether it is `refused` by default.
pub fn bind(lua: &Lua, host: &Table, engine: &Engine) -> mlua::Result<()> {
    let lenient = engine.core.settings.defaults.http_lenient;
    let all = lua.create_table()?;
    for (number, row) in ANOMALIES.iter().enumerate() {
        let anomaly = lua.create_table()?;
        anomaly.set("name", row.name)?;
        anomaly.set("alert", row.alert)?;
        let nature = match row.nature {
            Nature::Ambiguity => "ambiguity",
            Nature::Error => "error",
        };
        anomaly.set("nature", nature)?;
        anomaly.set("refused", !lenient || row.refused_by_haka)?;
        all.set(number, anomaly)?;
    }
    host.set("http_anomalies", all)
}
