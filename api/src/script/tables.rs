//! The tables of the subscribers in a Lua state.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use mlua::{Lua, Result, Table, Value as LuaValue};
use serde_json::Value;

use super::{
    call::MemberTable,
    values::{argument, to_json_part},
};

/// The tables of the subscribers.
#[derive(Default)]
pub(super) struct Tables(RefCell<HashMap<u64, (Table, Arc<MemberTable>)>>);

impl Tables {
    /// The table of a subscriber. A new state makes it of the JSON.
    pub(super) fn get(&self, lua: &Lua, member: &Arc<MemberTable>) -> Result<Table> {
        if let Some((table, _)) = self.0.borrow().get(&member.id) {
            return Ok(table.clone());
        }
        let json = Arc::clone(&member.json.lock());
        let LuaValue::Table(table) = argument(lua, &json)? else {
            return Err(mlua::Error::runtime("a subscriber is not a table"));
        };
        let entry = (table.clone(), Arc::clone(member));
        self.0.borrow_mut().insert(member.id, entry);
        Ok(table)
    }

    /// Sets the table that `subscribe` returned, and what a new state makes of it.
    pub(super) fn set(&self, lua: &Lua, member: &Arc<MemberTable>, table: Table) -> Result<()> {
        // Changes to `req` are not kept.
        let request = member.json.lock().get("req").cloned();
        table.raw_set(
            "req",
            argument(lua, request.as_ref().unwrap_or(&Value::Null))?,
        )?;
        save(lua, &table, member)?;
        let entry = (table, Arc::clone(member));
        self.0.borrow_mut().insert(member.id, entry);
        Ok(())
    }

    /// Forgets a subscriber.
    pub(super) fn remove(&self, member: &MemberTable) {
        self.0.borrow_mut().remove(&member.id);
    }

    /// Writes all tables as JSON, before another state takes over.
    pub(super) fn save(&self, lua: &Lua) {
        for (table, member) in self.0.borrow().values() {
            if let Err(error) = save(lua, table, member) {
                tracing::warn!(%error, "a subscriber's table stays as it was before");
            }
        }
    }
}

fn save(lua: &Lua, table: &Table, member: &MemberTable) -> Result<()> {
    let json = to_json_part(lua, &LuaValue::Table(table.clone()))?;
    *member.json.lock() = Arc::new(json);
    Ok(())
}
