//! Reads columns of a row into values of the core. Whatever does not parse is `Corrupt`, with table,
//! id and column; nothing is ever replaced by a default.

use serde::de::DeserializeOwned;

use super::StoreError;
use crate::db::dialect::Row;

/// A row with its table and the column that names it.
pub(crate) struct Record {
    table: &'static str,
    id: String,
    row: Row,
}

impl Record {
    /// A row whose key is a number in column `key`.
    pub(crate) fn numbered(table: &'static str, key: &'static str, row: Row) -> Self {
        let id = row.int(key).ok().flatten().map_or_else(String::new, |id| id.to_string());
        Self { table, id, row }
    }

    /// A row whose key is a text in column `key`.
    pub(crate) fn named(table: &'static str, key: &'static str, row: Row) -> Self {
        let id = row.text(key).ok().flatten().unwrap_or_default();
        Self { table, id, row }
    }

    /// What to say of a column that does not hold what it should.
    pub(crate) fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, id: self.id.clone(), column }
    }

    /// A number that may be absent.
    pub(crate) fn maybe_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.row.int(column).map_err(|_| self.corrupt(column))
    }

    /// A number.
    pub(crate) fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.maybe_int(column)?.ok_or_else(|| self.corrupt(column))
    }

    /// A number that cannot be negative and may be absent.
    pub(crate) fn maybe_count(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        self.maybe_int(column)?
            .map(|value| u64::try_from(value).map_err(|_| self.corrupt(column)))
            .transpose()
    }

    /// A 0 or 1.
    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        self.maybe_flag(column)?.ok_or_else(|| self.corrupt(column))
    }

    /// A 0 or 1 that may be absent.
    pub(crate) fn maybe_flag(&self, column: &'static str) -> Result<Option<bool>, StoreError> {
        match self.maybe_int(column)? {
            None => Ok(None),
            Some(0) => Ok(Some(false)),
            Some(1) => Ok(Some(true)),
            Some(_) => Err(self.corrupt(column)),
        }
    }

    /// A text that may be absent.
    pub(crate) fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.row.text(column).map_err(|_| self.corrupt(column))
    }

    /// A text.
    pub(crate) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.maybe_text(column)?.ok_or_else(|| self.corrupt(column))
    }

    /// A word of a closed set that may be absent.
    pub(crate) fn maybe_word<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        self.maybe_text(column)?.map(|text| parse(&text).ok_or_else(|| self.corrupt(column))).transpose()
    }

    /// A word of a closed set.
    pub(crate) fn word<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        self.maybe_word(column, parse)?.ok_or_else(|| self.corrupt(column))
    }

    /// JSON that may be absent.
    pub(crate) fn maybe_json<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.maybe_text(column)?
            .map(|text| serde_json::from_str(&text).map_err(|_| self.corrupt(column)))
            .transpose()
    }

    /// JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        self.maybe_json(column)?.ok_or_else(|| self.corrupt(column))
    }
}

/// The JSON text of a value of our own; such values always have one.
pub(crate) fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("our own types have string keys and no failing serializer")
}
