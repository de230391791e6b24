// SPDX-License-Identifier: GPL-2.0-or-later
//
// One exception type for the whole program.
//
// An error says what was tried, on what, what the kernel said and what to do about it. It is thrown where
// the fact is known and caught in two kinds of place only: the engine, to undo, and a front end, to print.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace mb {

// What sort of failure it is. A front end turns the kind into an exit status; JSON output names it.
enum class ErrorKind : std::uint8_t {
  failed,     // the operation was tried and did not succeed
  usage,      // the words or values that were given cannot be meant
  privilege,  // the caller may not do this
  conflict,   // a name, address, port or subnet is taken
  not_found,  // no such network, container or port
};

// The kind's name as JSON output shows it: "failed", "usage", ...
std::string_view to_string(ErrorKind kind);

class Error : public std::exception {
 public:
  // `message` is one sentence without a full stop, names in single quotes; `hint` says what to do (may be empty);
  // `error_number` is the errno behind it, 0 if there is none.
  Error(ErrorKind kind, std::string message, std::string hint = {}, int error_number = 0);

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  int error_number() const { return error_number_; }
  const std::vector<Error>& causes() const { return causes_; }
  const char* what() const noexcept override { return message_.c_str(); }

  // Lists a further error under this one (for instance what failed while undoing).
  void add_cause(Error further);

 private:
  ErrorKind kind_;
  std::string message_;
  std::string hint_;
  int error_number_;
  std::vector<Error> causes_;
};

// "cannot open '/x': No such file or directory (ENOENT)": `what` tells what was tried.
Error system_failure(std::string_view what, int error_number, std::string hint = {});

// Any exception as one of ours, for who must get over all of them. Of std::system_error the text says what was tried and the
// system's answer already.
Error as_error(const std::exception& exception);

// The errno's symbol ("EPERM"), or its number when the C library has no name for it.
std::string errno_name(int error_number);

}  // namespace mb
