// SPDX-License-Identifier: GPL-2.0-or-later
//
// The form: exit status (0: none), then the error; an error is kind, errno, message, hint, number of causes, causes.
// Numbers are 32 bits as they lie in memory, texts have their length before them: both ends are the same program.
#include "src/container/failure.h"

#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace mb::container {
namespace {

void put(std::string& out, std::int32_t number) {
  char bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  out.append(bytes, sizeof number);
}

void put(std::string& out, const std::string& text) {
  put(out, static_cast<std::int32_t>(text.size()));
  out += text;
}

void put(std::string& out, const Error& error) {
  put(out, static_cast<std::int32_t>(error.kind()));
  put(out, error.error_number());
  put(out, error.message());
  put(out, error.hint());
  put(out, static_cast<std::int32_t>(error.causes().size()));
  for (const Error& cause : error.causes()) put(out, cause);
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::int32_t number() {
    std::int32_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string text() { return std::string(take(static_cast<std::size_t>(number()))); }

  Error error() {
    const auto kind = static_cast<ErrorKind>(number());
    const int error_number = number();
    std::string message = text();
    std::string hint = text();
    Error result(kind, std::move(message), std::move(hint), error_number);
    for (std::int32_t causes = number(); causes > 0; --causes) result.add_cause(error());
    return result;
  }

 private:
  std::string_view take(std::size_t count) {
    if (count > bytes_.size()) throw std::out_of_range("cut short");
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }

  std::string_view bytes_;
};

CommandFailure decode(std::string_view encoded) {
  try {
    Reader reader(encoded);
    const int exit_status = reader.number();
    return {exit_status, reader.error()};
  } catch (const std::out_of_range&) {
    return {0, Error(ErrorKind::failed, "the container's supervisor ended before the command ran")};
  }
}

}  // namespace

std::string encode_error(const std::exception& error) {
  std::string out;
  const auto* failure = dynamic_cast<const CommandFailure*>(&error);
  put(out, failure != nullptr ? failure->exit_status() : 0);
  put(out, as_error(error));
  return out;
}

void throw_decoded(std::string_view encoded) {
  CommandFailure failure = decode(encoded);
  if (failure.exit_status() != 0) throw failure;
  throw Error(std::move(static_cast<Error&>(failure)));
}

}  // namespace mb::container
