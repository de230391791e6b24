// SPDX-License-Identifier: GPL-2.0-or-later
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <optional>

#include "src/container/console.h"
#include "src/container/descriptors.h"
#include "src/container/log.h"

namespace mb::container {
namespace {

// One of the container's streams on its way into the log.
class LogPump {
 public:
  LogPump(netns::UniqueFd source, Stream stream, LogWriter& log)
      : source_(std::move(source)), stream_(stream), log_(log) {
    set_nonblocking(source_.get());
  }

  pollfd interest() const { return {source_.get(), POLLIN, 0}; }

  // Returns whether there was something.
  bool take() {
    if (!source_) return false;
    const ssize_t got = ::read(source_.get(), buffer_.data(), buffer_.size());
    if (got > 0) {
      log_.write(stream_, {buffer_.data(), static_cast<std::size_t>(got)});
      return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) source_.reset();
    return false;
  }

 private:
  netns::UniqueFd source_;
  Stream stream_;
  LogWriter& log_;
  std::array<char, 16384> buffer_{};
};

class LoggedConsole : public Console {
 public:
  LoggedConsole(const std::string& state_dir, const Id& id, const ProcessSpec& spec)
      : open_log_([state_dir, id] { return LogWriter(state_dir, id); }), terminal_(spec.terminal) {
    if (terminal_) return;
    out_ = open_pipe();
    err_ = open_pipe();
    in_.read = open_null();
    if (spec.interactive) in_ = open_pipe();
  }

  Stdio stdio() const override {
    Stdio stdio;
    stdio.terminal = terminal_;
    if (!terminal_) stdio.streams = {in_.read.get(), out_.write.get(), err_.write.get()};
    return stdio;
  }

  // The log is in the container's directory, which is there by now.
  void connect(netns::UniqueFd terminal) override {
    log_.emplace(open_log_());
    if (terminal_) {
      add_pump(std::move(terminal), Stream::out);
      return;
    }
    in_.read.reset();
    out_.write.reset();
    err_.write.reset();
    add_pump(std::move(out_.read), Stream::out);
    add_pump(std::move(err_.read), Stream::err);
  }

  void join(PollLoop& loop) override {
    for (const auto& pump : pumps_) {
      loop.add([&pump] { return pump->interest(); }, [&pump] { pump->take(); });
    }
  }

  // Everybody who could write is dead, so this ends.
  bool has_rest() override {
    for (const auto& pump : pumps_) {
      while (pump->take()) {
      }
    }
    return false;
  }

 private:
  void add_pump(netns::UniqueFd source, Stream stream) {
    pumps_.push_back(std::make_unique<LogPump>(std::move(source), stream, *log_));
  }

  std::function<LogWriter()> open_log_;
  std::optional<LogWriter> log_;
  bool terminal_;
  Pipe in_;
  Pipe out_;
  Pipe err_;
  std::vector<std::unique_ptr<LogPump>> pumps_;
};

}  // namespace

std::unique_ptr<Console> open_logged_console(const std::string& state_dir, const Id& id, const ProcessSpec& spec) {
  return std::make_unique<LoggedConsole>(state_dir, id, spec);
}

}  // namespace mb::container
