#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/model/change.h"
#include "cogwork/model/fault.h"
#include "cogwork/model/filter.h"
#include "cogwork/model/labor.h"

namespace cogwork {

// The one data structure that crosses borders - to Python, to a store written in Python, over the control socket -
// as msgpack. docs/internals/document.md describes it; python/cogwork/_model.py is its other side.
//
//   An object is a map from field name to value. A field that is absent, or nil, has its default; an unknown one is passed over
//   when a stored Labor is read and is a fault when a Labor is submitted. A time is msgpack's timestamp extension (-1). A
//   duration is a number of seconds, or ISO 8601 text ("P1DT30.5S"); it is written as text. An id is its text. States, reasons,
//   statuses and kinds are their numbers. Args and outputs are msgpack, in place, byte for byte as they were given.

/// Reads a Labor that is to be submitted. Whatever cannot be read - a wrong type, an unknown field, bytes that are no msgpack -
/// is a fault with its place, and reading goes on behind it; neighbours' equal faults are folded. What it returns is whole only
/// where there are no faults, but every object of a list that can be read has its row, so that places have their names.
/// Reads only what a user writes: an id, a state or a reason that is set is a fault (S2); times, attempts, holds and whatever
/// else an engine adds is passed over.
Labor read_submitted(std::string_view document, std::vector<Fault>& faults);

/// Reads a Labor that cogwork wrote. Throws StorageError (not temporary) where it is none; so do the others below.
Labor read_document(std::string_view document);

/// Writes a Labor; `full` as in read_labor (T1): without it no tasks.
std::string write_document(const Labor& labor, bool full = true);
/// Writes one object of the tree alone: a Task or Sequence without what is below it, a Job with or without args,
/// output and attempts' outputs.
std::string write_task(const Id& labor, const Task& task);
std::string write_sequence(const Id& labor, const Sequence& sequence);
std::string write_job(const Id& labor, const Job& job, bool args, bool output);
/// The other way, for stores written in Python: an object alone, with its id's Labor.
Task read_task_document(std::string_view document, Id& id);
Sequence read_sequence_document(std::string_view document, Id& id);
Job read_job_document(std::string_view document, Id& id);

std::string write_change(const Change& change);
std::string write_changes(const std::vector<Change>& changes);
/// Throws Error, saying which field is wrong and why.
LaborFilter read_filter(std::string_view document);
std::string write_filter(const LaborFilter& filter);

/// A Job's attempts alone, in the form that a document holds them; none are no bytes. What `jobs.attempts` is in SQLite.
std::string write_attempts(const std::vector<Attempt>& attempts);
std::vector<Attempt> read_attempts(std::string_view document);
std::string write_holds(const Holds& holds);
Holds read_holds(std::string_view document);

}  // namespace cogwork
