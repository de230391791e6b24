// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tree is built from the parser's events, not from its nodes: those forget where keys stood and keep only the last
// of two equal ones.
#include "src/lab/document.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "src/base/text.h"

namespace mb::lab {
namespace {

constexpr std::size_t kLargestFile = 1 << 20;

[[noreturn]] void fail_at(const std::string& file, int line, std::string_view sentence, std::string hint = {}) {
  throw Error(ErrorKind::usage, fmt::format("{}:{}: {}", file, line, sentence), std::move(hint));
}

// The parser's own sentence about a tab helps nobody.
void refuse_tabs(std::string_view text, const std::string& file) {
  int line = 0;
  for (const auto each : split(text, '\n')) {
    ++line;
    const auto first = each.find_first_not_of(' ');
    if (first != std::string_view::npos && each[first] == '\t') {
      fail_at(file, line, "a tab indents this line", "indent with spaces");
    }
  }
}

// ---- quotes

// Where in its line the text ends that this quote opens: \" stays inside of double quotes, '' of single ones.
std::size_t closing_quote(std::string_view line, std::size_t opened) {
  const char quote = line[opened];
  for (std::size_t i = opened + 1; i < line.size(); ++i) {
    const bool doubled = quote == '\'' && line.substr(i, 2) == "''";
    const bool escape = quote == '"' && line[i] == '\\';
    if (doubled || escape) {
      ++i;
    } else if (line[i] == quote) {
      return i;
    }
  }
  return std::string_view::npos;
}

bool is_quote(char c) { return c == '"' || c == '\''; }

// YAML reads on to the next quote, wherever that is, and what lies between is missing without a word.
[[noreturn]] void refuse_unclosed(const std::string& file, std::size_t line, char quote) {
  fail_at(file, static_cast<int>(line) + 1, "a quoted text begins here and does not end in this line",
          fmt::format("close it with {}; a text of several lines is written with '|' or '>'", quote));
}

// A quote opens a text only where a value begins: "it's" has none.
bool may_open(std::string_view line, std::size_t at) {
  const auto before = line.substr(0, at).find_last_not_of(' ');
  return is_quote(line[at]) &&
         (before == std::string_view::npos || std::string_view(":-[{,?").find(line[before]) != std::string_view::npos);
}

// The quote of this line that stays open; npos: none.
std::size_t unclosed_quote(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '#' && (i == 0 || line[i - 1] == ' ')) break;
    if (!may_open(line, i)) continue;
    const auto end = closing_quote(line, i);
    if (end == std::string_view::npos) return i;
    i = end;
  }
  return std::string_view::npos;
}

// Where the parser gave up in the line `last`, an unclosed quote is the likely reason. It stands no earlier than in
// `first`, the line of what was understood last.
void blame_unclosed(const std::vector<std::string_view>& lines, int first, int last, const std::string& file) {
  const auto end = std::min(lines.size(), static_cast<std::size_t>(last) + 1);
  for (auto number = static_cast<std::size_t>(first); number < end; ++number) {
    const auto at = unclosed_quote(lines[number]);
    if (at != std::string_view::npos) refuse_unclosed(file, number, lines[number][at]);
  }
}

// "12" and its unit "ms"; nothing where there is no number.
struct Quantity {
  std::int64_t number = 0;
  std::string_view unit;
  bool valid = false;
};

Quantity quantity_of(std::string_view text) {
  Quantity found;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), found.number);
  found.valid = error == std::errc() && found.number >= 0;
  if (found.valid) found.unit = text.substr(static_cast<std::size_t>(end - text.data()));
  return found;
}

}  // namespace

// Follows the parser through the file. The stack holds what is open, the file's value at the bottom.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& file, const std::vector<std::string_view>& lines)
      : file_(std::make_shared<const std::string>(file)), lines_(lines) {}

  Value take() { return std::move(root_); }
  // Of what the parser understood last; counts from 0.
  int last_line() const { return last_line_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { place(made(mark, "?", anchor, {})); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail_at(*file_, mark.line + 1, "an alias ('*') is not understood here", "write the value out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    refuse_open_quote(mark);
    last_line_ = mark.line;
    Value value = made(mark, tag, anchor, Value::Kind::text);
    value.text_ = text;
    place(std::move(value));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(made(mark, tag, anchor, Value::Kind::list));
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(made(mark, tag, anchor, Value::Kind::map));
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Value value;
    bool has_key = false;  // of a map: the last entry waits for its value
  };

  void refuse_open_quote(const YAML::Mark& mark) const {
    const auto number = static_cast<std::size_t>(mark.line);
    const auto at = static_cast<std::size_t>(mark.column);
    if (number >= lines_.size() || at >= lines_[number].size() || !is_quote(lines_[number][at])) return;
    if (closing_quote(lines_[number], at) == std::string_view::npos)
      refuse_unclosed(*file_, number, lines_[number][at]);
  }

  Value made(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Value::Kind kind) const {
    const int line = mark.line + 1;
    if (anchor != YAML::NullAnchor) fail_at(*file_, line, "an anchor ('&') is not understood here");
    // "?" and "!": what the parser says of plain and of quoted text.
    if (!tag.empty() && tag != "?" && tag != "!") fail_at(*file_, line, "a tag ('!') is not understood here");
    Value value;
    value.kind_ = kind;
    value.line_ = line;
    value.column_ = mark.column + 1;
    value.file_ = file_;
    return value;
  }

  void open(Value value) { stack_.push_back({std::move(value)}); }

  void close() {
    Value value = std::move(stack_.back().value);
    stack_.pop_back();
    place(std::move(value));
  }

  void place(Value value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& parent = stack_.back();
    if (parent.value.kind_ == Value::Kind::list) {
      parent.value.items_.push_back(std::move(value));
    } else if (parent.has_key) {
      const Value& key = parent.value.entries_.back().key;
      if (value.kind_ == Value::Kind::nothing) value.line_ = key.line_;  // the parser names the place where it noticed
      parent.value.entries_.back().value = std::move(value);
      parent.has_key = false;
    } else {
      add_key(parent, std::move(value));
    }
  }

  static void add_key(Open& map, Value key) {
    if (!key.is_text()) key.fail("a key must be plain text");
    if (key.text_ == "<<") key.fail("a merge key ('<<') is not understood here", "write the values out");
    for (const Entry& other : map.value.entries_) {
      if (other.key.text_ != key.text_) continue;
      key.fail(fmt::format("'{}' is given twice, first in line {}", printable(key.text_), other.key.line_));
    }
    map.value.entries_.push_back({std::move(key), {}});
    map.has_key = true;
  }

  std::shared_ptr<const std::string> file_;
  const std::vector<std::string_view>& lines_;
  int last_line_ = 0;
  std::vector<Open> stack_;
  Value root_;
};

// ---- a value

std::string Value::where() const { return fmt::format("{}:{}", *file_, line_); }

void Value::fail(std::string_view sentence, std::string hint) const {
  fail_at(*file_, line_, sentence, std::move(hint));
}

std::string_view Value::kind_name() const {
  switch (kind_) {
    case Kind::nothing: return "nothing";
    case Kind::text: return "a single value";
    case Kind::list: return "a list";
    case Kind::map: return "a map";
  }
  return "";
}

const std::string& Value::text() const {
  if (kind_ != Kind::text) fail(fmt::format("a single value is expected here, not {}", kind_name()));
  return text_;
}

std::int64_t Value::integer(std::int64_t lowest, std::int64_t highest) const {
  const std::string& digits = text();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number < lowest || number > highest) {
    fail(fmt::format("'{}' is not a number from {} to {}", printable(digits), lowest, highest));
  }
  return number;
}

bool Value::boolean() const {
  if (text() == "true") return true;
  if (text() == "false") return false;
  fail(fmt::format("'{}' is neither true nor false", printable(text_)));
}

std::chrono::milliseconds Value::duration() const {
  const Quantity quantity = quantity_of(text());
  constexpr std::int64_t kLongest = std::int64_t{24} * 60 * 60;
  if (quantity.valid && quantity.number <= kLongest) {
    if (quantity.unit == "ms") return std::chrono::milliseconds(quantity.number);
    if (quantity.unit == "s") return std::chrono::seconds(quantity.number);
    if (quantity.unit == "m") return std::chrono::minutes(quantity.number);
  }
  fail(fmt::format("'{}' is not a duration", printable(text_)), "200ms, 5s or 2m");
}

const std::vector<Value>& Value::items() const {
  if (kind_ != Kind::list) fail(fmt::format("a list is expected here, not {}", kind_name()), "one '- …' per line");
  return items_;
}

const std::vector<Entry>& Value::entries() const {
  if (kind_ != Kind::map) fail(fmt::format("a map is expected here, not {}", kind_name()), "one 'key: value' per line");
  return entries_;
}

std::vector<Value> Value::one_or_more() const {
  if (kind_ == Kind::list) return items_;
  if (kind_ == Kind::nothing) return {};
  return {*this};
}

// ---- a map with known keys

Mapping::Mapping(const Value& map, std::string_view what, std::initializer_list<std::string_view> known)
    : map_(&map), what_(what) {
  for (const Entry& entry : map.entries()) {
    const std::string& key = entry.key.text();
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::vector<std::string> all(known.begin(), known.end());
    const std::string near = nearest(key, all);
    entry.key.fail(
        fmt::format("{} has no '{}'", what, printable(key)),
        near.empty() ? fmt::format("it may have: {}", join(all, ", ")) : fmt::format("did you mean '{}'?", near));
  }
}

const Value* Mapping::optional(std::string_view key) const {
  for (const Entry& entry : map_->entries()) {
    if (entry.key.text() == key) return &entry.value;
  }
  return nullptr;
}

const Value& Mapping::required(std::string_view key) const {
  const Value* value = optional(key);
  if (value == nullptr) map_->fail(fmt::format("{} needs '{}'", what_, key));
  return *value;
}

// ---- as text

namespace {

// Quoted as JSON does it, which YAML understands: so nothing in a text is taken for anything else.
std::string quoted_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else {
      result += c;
    }
  }
  return result + "\"";
}

}  // namespace

std::string to_document(const Value& value) {
  std::vector<std::string> parts;
  switch (value.kind()) {
    case Value::Kind::nothing: return "~";
    case Value::Kind::text: return quoted_text(value.text());
    case Value::Kind::list:
      for (const Value& item : value.items()) parts.push_back(to_document(item));
      return "[" + join(parts, ", ") + "]";
    case Value::Kind::map:
      for (const Entry& entry : value.entries()) {
        parts.push_back(quoted_text(entry.key.text()) + ": " + to_document(entry.value));
      }
      return "{" + join(parts, ", ") + "}";
  }
  return {};
}

// ---- files

Value parse_document(std::string_view text, const std::string& name) {
  if (text.size() > kLargestFile) throw Error(ErrorKind::usage, fmt::format("'{}' is larger than 1 MiB", name));
  refuse_tabs(text, name);
  std::istringstream stream{std::string(text)};
  const auto lines = split(text, '\n');
  TreeBuilder builder(name, lines);
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) fail_at(name, 1, "there is nothing in this file");
    Value value = builder.take();
    TreeBuilder second(name, lines);
    if (parser.HandleNextDocument(second)) fail_at(name, second.take().line(), "a second document begins here");
    return value;
  } catch (const YAML::Exception& error) {
    blame_unclosed(lines, builder.last_line(), error.mark.line, name);
    fail_at(name, error.mark.line + 1, fmt::format("not YAML: {} (column {})", error.msg, error.mark.column + 1));
  }
}

std::string read_text_file(const std::string& path) {
  std::error_code failed;
  // A stream opens it and throws when it reads.
  if (std::filesystem::is_directory(path, failed)) {
    throw Error(ErrorKind::usage, fmt::format("'{}' is a directory", path));
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) throw system_failure(fmt::format("cannot open '{}'", path), errno);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw system_failure(fmt::format("cannot read '{}'", path), EIO);
  return text;
}

Value read_document(const std::string& path, const std::string& name) {
  return parse_document(read_text_file(path), name.empty() ? path : name);
}

}  // namespace mb::lab
