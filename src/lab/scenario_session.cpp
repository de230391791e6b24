// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/scenario_session.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <memory>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "src/container/descriptors.h"
#include "src/lab/registry.h"

namespace mb::lab {
namespace {

// ---- from process to process

std::string encode(const Digest& digest) {
  nlohmann::json json{{"ok", digest.ok},
                      {"checks", digest.checks},
                      {"failed", digest.failed},
                      {"milliseconds", digest.time.count()},
                      {"failures", digest.failures},
                      {"rendering", digest.rendering}};
  if (digest.error) {
    json["error"] = {{"message", digest.error->message()},
                     {"hint", digest.error->hint()},
                     {"kind", static_cast<int>(digest.error->kind())}};
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Digest decode(const std::string& text, int status) {
  Digest digest;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    digest.error =
        Error(ErrorKind::failed, fmt::format("the lab's first process ended in the middle (status {})", status));
    return digest;
  }
  digest.ok = json.at("ok");
  digest.checks = json.at("checks");
  digest.failed = json.at("failed");
  digest.time = std::chrono::milliseconds(json.at("milliseconds").get<std::int64_t>());
  digest.failures = json.at("failures").get<std::vector<std::string>>();
  digest.rendering = json.at("rendering");
  if (const auto error = json.find("error"); error != json.end()) {
    digest.error = Error(static_cast<ErrorKind>(error->at("kind").get<int>()), error->at("message"), error->at("hint"));
  }
  return digest;
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return;  // whoever waits for it sees that it is incomplete
    text.remove_prefix(static_cast<std::size_t>(done));
  }
}

Digest digest_of(const Task& task, const Report& report) {
  Digest digest;
  digest.ok = report.ok();
  digest.checks = report.checks();
  digest.failed = report.failed();
  digest.time = report.time;
  digest.failures = failures_of(report, task.scenario, task.language);
  digest.rendering = task.render(task.scenario, report);
  return digest;
}

Digest live(World& world, const Task& task, const RunEvents& events) {
  try {
    return digest_of(task, run_scenario(world, task.scenario, events, task.options));
  } catch (const Error& error) {
    Digest digest;
    digest.error = error;
    return digest;
  } catch (const std::exception& error) {
    Digest digest;
    digest.error = Error(ErrorKind::failed, error.what());
    return digest;
  }
}

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

// A scenario that runs, and the text that comes from it.
class Running {
 public:
  Running(std::size_t number, const Task& task, const RunEvents& events) : number_(number) {
    auto pipe = container::open_pipe();
    HoldOptions options;
    options.kept = {pipe.write.get()};
    const int back = pipe.write.get();
    holder_.emplace(hold(task.scenario.topology, options, [&task, &events, back](World& world) {
      write_all(back, encode(live(world, task, events)));
      return 0;
    }));
    back_ = std::move(pipe.read);
  }

  std::size_t number() const { return number_; }
  int descriptor() const { return back_.get(); }

  // Reads what is there; whether that was all.
  bool read() {
    std::array<char, 65536> buffer{};
    const ssize_t got = ::read(back_.get(), buffer.data(), buffer.size());
    if (got < 0) return errno != EINTR && errno != EAGAIN;
    text_.append(buffer.data(), static_cast<std::size_t>(got));
    return got == 0;
  }

  Digest end() {
    const int status = holder_->wait();
    return decode(text_, status);
  }

 private:
  std::size_t number_;
  std::optional<Holder> holder_;
  netns::UniqueFd back_;
  std::string text_;
};

// The lab lives on under a name, like one that `lab up` made.
Digest run_and_keep(const Task& task, const RunEvents& events, const Name& wanted) {
  const auto registry = Registry::open();
  auto reservation = registry.reserve_any(wanted);
  const Name name = reservation.name();
  auto pipe = container::open_pipe();
  HoldOptions options;
  options.lab_name = name.str();
  options.kept = {pipe.write.get(), reservation.lock()};
  const int back = pipe.write.get();
  auto holder = hold(task.scenario.topology, options, [&task, &events, back](World& world) -> int {
    const std::string digest = encode(live(world, task, events));
    World::detach();
    write_all(back, digest);
    ::close(back);
    World::stay();
  });
  pipe.write.reset();
  const std::string text = read_to_end(pipe.read.get());
  registry.publish(std::move(reservation), task.scenario.topology, holder.pid());
  holder.release();
  Digest digest = decode(text, 0);
  digest.kept_as = name;
  return digest;
}

void wait_for_one(const std::deque<std::unique_ptr<Running>>& running) {
  std::vector<pollfd> entries;
  for (const auto& each : running) entries.push_back({each->descriptor(), POLLIN, 0});
  ::poll(entries.data(), entries.size(), -1);
}

}  // namespace

void run_all(const std::vector<Task>& tasks, std::size_t jobs, const std::function<void(std::size_t, Digest)>& done) {
  const RunEvents quiet;
  std::deque<std::unique_ptr<Running>> running;
  std::size_t next = 0;
  while (next < tasks.size() || !running.empty()) {
    while (next < tasks.size() && running.size() < jobs) {
      try {
        running.push_back(std::make_unique<Running>(next, tasks[next], quiet));
      } catch (const Error& error) {
        Digest digest;
        digest.error = error;
        done(next, std::move(digest));
      }
      ++next;
    }
    if (running.empty()) continue;
    wait_for_one(running);
    for (std::size_t i = 0; i < running.size();) {
      pollfd entry{running[i]->descriptor(), POLLIN, 0};
      if (::poll(&entry, 1, 0) <= 0 || !running[i]->read()) {
        ++i;
        continue;
      }
      done(running[i]->number(), running[i]->end());
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

Digest run_one(const Task& task, const RunEvents& events, const std::optional<Name>& keep) {
  if (keep) return run_and_keep(task, events, *keep);
  Running running(0, task, events);
  while (!running.read()) {
  }
  return running.end();
}

}  // namespace mb::lab
