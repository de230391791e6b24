// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a detached container prints, kept for `logs`.
//
// STATE/containers/ID/log is a list of records, each one line of the file:
//     'o' or 'e'  text  newline        a line of standard output or error
//     'O' or 'E'  text  newline        a piece of one: its rest, if it has any, comes in a later record
// A newline is the only byte that cannot be in the text, so it is safe for every output, and written as it comes:
// nothing waits in memory for the end of a line.
//
// When `log` has reached 8 MiB it becomes `log.1`, and the one that was `log.1` before is gone. When nothing can be
// written (the disk is full) output is dropped and counted, and a record says so as soon as there is room: a container
// never hangs because nobody takes its output. The order between the two streams is the order in which the supervisor
// read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "netns/unique_fd.h"
#include "src/model/objects.h"

namespace mb::container {

class ExitWaiter;

enum class Stream : std::uint8_t { out, err };

class LogWriter {
 public:
  // Continues what is there.
  LogWriter(const std::string& state_dir, const Id& id);

  void write(Stream stream, std::string_view text);
  std::uint64_t dropped_bytes() const { return dropped_; }

 private:
  bool put(const std::string& records);
  bool rotate();
  std::string notice() const;

  std::string path_;
  netns::UniqueFd file_;
  std::size_t size_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t unreported_ = 0;
};

// Takes the container's bytes in order.
using LogSink = std::function<void(Stream, std::string_view)>;

// All of it, or the last `tail` lines. A container that never had a log has none.
void read_log(const std::string& state_dir, const Id& id, std::optional<std::size_t> tail, const LogSink& sink);

// The same, and then what comes, until the container has ended. `ended` belongs to the container's present run.
void follow_log(const std::string& state_dir, const Id& id, std::optional<std::size_t> tail, const LogSink& sink,
                const ExitWaiter& ended);

}  // namespace mb::container
