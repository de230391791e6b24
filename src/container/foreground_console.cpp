// SPDX-License-Identifier: GPL-2.0-or-later
#include <poll.h>
#include <unistd.h>

#include <optional>

#include "src/container/console.h"
#include "src/container/descriptors.h"
#include "src/container/relay.h"
#include "src/container/terminal.h"

namespace mb::container {
namespace {

// The command has our own descriptors; there is nothing to do in between.
class InheritedConsole : public Console {
 public:
  explicit InheritedConsole(bool interactive) : null_(interactive ? netns::UniqueFd() : open_null()) {}

  Stdio stdio() const override {
    Stdio stdio;
    stdio.streams = {null_ ? null_.get() : STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    return stdio;
  }
  void connect(netns::UniqueFd) override { null_.reset(); }
  void join(PollLoop&) override {}
  bool has_rest() override { return false; }

 private:
  netns::UniqueFd null_;
};

class TerminalConsole : public Console {
 public:
  explicit TerminalConsole(bool interactive) : interactive_(interactive) {}

  Stdio stdio() const override {
    Stdio stdio;
    stdio.streams = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    stdio.terminal = true;
    stdio.window = our_window().value_or(winsize{});
    return stdio;
  }

  void connect(netns::UniqueFd terminal) override {
    master_ = std::move(terminal);
    set_nonblocking(master_.get());
    output_.emplace(master_.get(), STDOUT_FILENO);
    if (interactive_) connect_input();
  }

  void join(PollLoop& loop) override {
    loop.add([this] { return output_->interest(); }, [this] { output_->ready(); });
    if (input_) loop.add([this] { return input_->interest(); }, [this] { input_->ready(); });
  }

  void resize() override {
    if (const auto size = our_window()) set_window_size(master_.get(), *size);
  }

  // Processes that are no child of the command may hold the terminal open for ever (`exec` in a container that goes
  // on), so what counts is whether there is something now.
  bool has_rest() override {
    if (output_->finished()) return false;
    const pollfd interest = output_->interest();
    if ((interest.events & POLLOUT) != 0) return true;
    pollfd entry = interest;
    return ::poll(&entry, 1, 0) > 0;
  }

 private:
  static std::optional<winsize> our_window() {
    const auto size = window_size(STDIN_FILENO);
    return size ? size : window_size(STDOUT_FILENO);
  }

  void connect_input() {
    input_.emplace(STDIN_FILENO, master_.get());
    if (::isatty(STDIN_FILENO) == 1) {
      raw_.emplace(STDIN_FILENO);
    } else {
      input_->end_with_control_d();
    }
  }

  bool interactive_;
  netns::UniqueFd master_;
  std::optional<Relay> output_;
  std::optional<Relay> input_;
  std::optional<RawMode> raw_;
};

}  // namespace

std::unique_ptr<Console> open_foreground_console(const ProcessSpec& spec) {
  if (spec.terminal) return std::make_unique<TerminalConsole>(spec.interactive);
  return std::make_unique<InheritedConsole>(spec.interactive);
}

}  // namespace mb::container
