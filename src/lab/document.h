// SPDX-License-Identifier: GPL-2.0-or-later
//
// A YAML file as a tree of values that know where they stand, for topologies and scenarios.
//
// Promises: every failure is an Error(usage) "FILE:LINE: SENTENCE"; what a file says that nobody asked for is an error, too
// (an unknown key, a key given twice, an anchor or alias, a tag, a tab as indentation, a second document).
// A value refers to nothing outside itself and may be copied.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/error.h"

namespace mb::lab {

struct Entry;

class Value {
 public:
  enum class Kind : std::uint8_t { nothing, text, list, map };

  Kind kind() const { return kind_; }
  bool is_text() const { return kind_ == Kind::text; }
  bool is_list() const { return kind_ == Kind::list; }
  bool is_map() const { return kind_ == Kind::map; }
  // Both count from 1.
  int line() const { return line_; }
  int column() const { return column_; }
  const std::string& file() const { return *file_; }
  std::string where() const;  // "FILE:LINE"

  // Throws Error(usage) "FILE:LINE: SENTENCE".
  [[noreturn]] void fail(std::string_view sentence, std::string hint = {}) const;

  // Each of these fails when the value is of another kind.
  const std::string& text() const;
  std::int64_t integer(std::int64_t lowest, std::int64_t highest) const;
  bool boolean() const;                        // true or false
  std::chrono::milliseconds duration() const;  // 200ms, 5s, 2m
  const std::vector<Value>& items() const;
  const std::vector<Entry>& entries() const;  // in the order of the file
  // The items of a list; a single value counts as a list of one, nothing as none.
  std::vector<Value> one_or_more() const;

  // What `parse` (text -> T, throws Error) makes of the text. Its failures get this value's place.
  template <class Parse>
  auto as(Parse parse) const -> decltype(parse(std::string_view())) {
    try {
      return parse(std::string_view(text()));
    } catch (const Error& error) {
      fail(error.message(), error.hint());
    }
  }

 private:
  friend class TreeBuilder;
  std::string_view kind_name() const;

  Kind kind_ = Kind::nothing;
  int line_ = 1;
  int column_ = 1;
  std::shared_ptr<const std::string> file_;
  std::string text_;
  std::vector<Value> items_;
  std::vector<Entry> entries_;
};

struct Entry {
  Value key;  // text
  Value value;
};

// A map whose keys are known. Refers to the value, which must live longer.
class Mapping {
 public:
  // Fails at the first key that is not among `known`, with the nearest one as a hint. `what` names the thing in
  // sentences: "a node".
  Mapping(const Value& map, std::string_view what, std::initializer_list<std::string_view> known);

  const Value& required(std::string_view key) const;
  const Value* optional(std::string_view key) const;  // nullptr: not there
  bool has(std::string_view key) const { return optional(key) != nullptr; }
  const Value& value() const { return *map_; }

 private:
  const Value* map_;
  std::string what_;
};

// The text of a file. Throws Error; a directory is one of usage.
std::string read_text_file(const std::string& path);
// Reads a file; `name`, if given, stands for it in sentences.
Value read_document(const std::string& path, const std::string& name = {});
// What `read` returns. An error in a file that has no hint says where the words of such files are described.
template <class Read>
auto with_page(const std::string& page, Read read) -> decltype(read()) {
  try {
    return read();
  } catch (const Error& error) {
    if (!error.hint().empty()) throw;
    throw Error(error.kind(), error.message(), page, error.error_number());
  }
}
// A text from which the same value is read, wherever it came from.
std::string to_document(const Value& value);
Value parse_document(std::string_view text, const std::string& name);

}  // namespace mb::lab
