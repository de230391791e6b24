// SPDX-License-Identifier: GPL-2.0-or-later
//
// ps, start, stop, restart, kill, rm, logs, port, wait
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <tuple>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/draw.h"
#include "src/cli/json.h"
#include "src/cli/output.h"
#include "src/cli/parsing.h"
#include "src/cli/signal_names.h"
#include "src/cli/verbs.h"
#include "src/container/lifecycle.h"
#include "src/container/log.h"
#include "src/container/resolver_file.h"
#include "src/container/run_files.h"
#include "src/plan/publish.h"

namespace mb::cli {
namespace {

using std::chrono::milliseconds;

struct Names {
  std::vector<std::string> names;
};

void add_names(CLI::App& verb, std::vector<std::string>& names) {
  verb.add_option("NAME", names, "names or ids")->required();
}

std::vector<Container> find_all(const Context& context, const std::vector<std::string>& names) {
  const auto state = context.state();
  const store::Store::View view(*state);
  std::vector<Container> found;
  for (const auto& name : names) {
    auto container = context.container(*state, name);
    const bool twice =
        std::any_of(found.begin(), found.end(), [&](const Container& other) { return other.id == container.id; });
    if (!twice) found.push_back(std::move(container));
  }
  return found;
}

// Goes on with the others when one fails; the first failure is reported with the rest under it.
template <class Action>
void for_each(const std::vector<Container>& containers, Action action) {
  std::vector<Error> failures;
  for (const auto& container : containers) {
    try {
      action(container);
    } catch (const std::exception& failure) {
      failures.push_back(as_error(failure));
    }
  }
  if (failures.empty()) return;
  Error first = failures.front();
  for (std::size_t i = 1; i < failures.size(); ++i) first.add_cause(failures[i]);
  throw first;
}

// --- ps --------------------------------------------------------------------------------------------------------------

struct PsOptions {
  bool all = false;
  bool quiet = false;
};

std::string addresses_text(const Container& container) {
  std::vector<std::string> texts;
  for (const auto& endpoint : container.endpoints) {
    for (const auto& held : endpoint.addresses) {
      if (held.address) texts.push_back(held.address->str());
    }
  }
  if (container.attachment == Attachment::host) return "host";
  return texts.empty() ? "-" : join(texts, ", ");
}

std::string networks_text(const Container& container, const std::vector<Network>& networks) {
  std::vector<std::string> names;
  for (const auto& endpoint : container.endpoints) {
    for (const auto& network : networks) {
      if (network.id == endpoint.network) names.push_back(network.name.str());
    }
  }
  if (container.attachment == Attachment::host) return "host";
  return names.empty() ? "none" : join(names, ", ");
}

// Whether it is published on every address of the host in IPv4 too, under the same numbers.
bool has_ipv4_twin(const PublishedPort& port, const std::vector<PublishedPort>& ports) {
  PublishedPort twin = port;
  twin.host_address = IpAddress::any(Family::v4);
  return port.host_address == IpAddress::any(Family::v6) && std::find(ports.begin(), ports.end(), twin) != ports.end();
}

std::string ports_text(const Container& container, const std::vector<Network>& networks) {
  std::vector<std::string> texts;
  for (const auto& port : container.ports) {
    if (!has_ipv4_twin(port, container.ports)) texts.push_back(port.str());
  }
  for (const auto& port : plan::routed_ports(container, networks)) texts.push_back(port.str());
  return texts.empty() ? "-" : join(texts, ", ");
}

std::string command_text(const Container& container) {
  if (container.kind == ContainerKind::foreign_netns) return container.namespace_source;
  if (container.kind == ContainerKind::netns) return "-";
  return container.process.argv.empty() ? "echo" : printable(join(container.process.argv, " "));
}

void list_containers(const Context& context, const PsOptions& options) {
  const auto state = context.state();
  const auto setup = context.setup();
  const auto networks = state->networks();
  auto containers = state->containers();
  std::stable_sort(containers.begin(), containers.end(), [](const Container& a, const Container& b) {
    return std::tie(a.created_at, a.name) < std::tie(b.created_at, b.name);
  });
  std::vector<ContainerView> shown;
  for (auto& stored : containers) {
    auto container = engine::as_it_is(setup, std::move(stored));
    const bool up = container.kind != ContainerKind::process || engine::is_running(setup, container);
    if (!up && !options.all) continue;
    const std::string status = up ? (container.kind == ContainerKind::process ? "running" : "created") : "exited";
    shown.push_back({std::move(container), status});
  }
  if (options.quiet) {
    for (const auto& view : shown) print_line(view.container.id);
  } else if (context.globals.json()) {
    print_line(json_of_containers(shown, networks));
  } else {
    std::vector<std::vector<std::string>> rows;
    for (const auto& [container, status] : shown) {
      rows.push_back({container.id, container.name.str(), status_text(setup, container),
                      networks_text(container, networks), addresses_text(container), ports_text(container, networks),
                      command_text(container)});
    }
    print_table({"ID", "NAME", "STATUS", "NETWORK", "ADDRESS", "PORTS", "COMMAND"}, rows);
  }
}

// --- start, stop, restart, kill, rm ----------------------------------------------------------------------------------

change::StartContainer start_change(const Container& container) {
  change::StartContainer start;
  start.container = container.id;
  start.draw = draw_number();
  start.resolv_conf = container::renewed_resolver_file(container);
  start.remove_when_ended = container.remove_when_ended;
  return start;
}

// Of those that do not run. One whose supervisor died is taken out first, as the pipe does by itself when it really runs.
std::vector<Change> start_changes(const Context& context, const std::vector<Container>& containers) {
  const auto setup = context.setup();
  std::vector<Change> changes;
  for (const auto& container : containers) {
    container::require_process(container);
    if (engine::is_running(setup, container)) continue;
    if (container.status == ContainerStatus::running) {
      changes.emplace_back(change::EndContainer{container.id, std::nullopt, setup.now()});
    }
    changes.emplace_back(start_change(container));
  }
  return changes;
}

void start_containers(Context& context, const std::vector<Container>& containers) {
  if (context.globals.dry_run) {
    context.change(start_changes(context, containers));
    return;
  }
  const auto engine = context.engine();
  for_each(containers, [&](const Container& container) {
    container::require_process(container);
    if (engine::is_running(context.setup(), container)) return;  // as docker: already so, and no error
    require_privilege();
    container::start(engine, container, start_change(container), Context::notify);
    print_line(container.name.str());
  });
}

change::EndContainer end_change(const Context& context, const Container& container) {
  const auto setup = context.setup();
  return {container.id, setup.written_exit_status(container.id), setup.now()};
}

std::vector<Change> end_changes(const Context& context, const std::vector<Container>& containers) {
  std::vector<Change> changes;
  for (const auto& container : containers) {
    if (container.status == ContainerStatus::running) {
      changes.emplace_back(end_change(context, container));
    }
  }
  return changes;
}

// Seconds a container has after SIGTERM, as docker gives it.
constexpr int kPatience = 10;

// What container::stop sends to those that run.
std::vector<Deed> stop_deeds(const Context& context, const std::vector<Container>& containers, int seconds) {
  std::vector<Deed> deeds;
  for (const auto& container : containers) {
    if (container.kind != ContainerKind::process || !engine::is_running(context.setup(), container)) continue;
    const auto name = container.name.str();
    deeds.push_back({"send_signal",
                     seconds == 0 ? fmt::format("send SIGKILL to '{}'", name)
                                  : fmt::format("send SIGTERM to '{}', and SIGKILL {} seconds later", name, seconds)});
  }
  return deeds;
}

void stop_containers(Context& context, const std::vector<Container>& containers, int seconds, bool print_names) {
  for (const auto& container : containers) container::require_process(container);
  require_privilege();
  if (context.globals.dry_run) {
    context.print_plan_of(end_changes(context, containers), stop_deeds(context, containers, seconds));
    return;
  }
  container::stop(context.setup(), containers, std::chrono::seconds(seconds));
  // Each supervisor has taken its container out; this pass takes out those whose supervisor could not.
  const auto left = end_changes(context, find_all(context, [&] {
                                  std::vector<std::string> names;
                                  const auto state = context.state();
                                  for (const auto& container : containers) {
                                    if (state->find_container(container.id)) names.push_back(container.id);
                                  }
                                  return names;
                                }()));
  if (!left.empty()) Context::notify(context.engine().run(left).notices);
  if (!print_names) return;
  for (const auto& container : containers) print_line(container.name.str());
}

// What is to be removed when it ends would be gone before it could start again.
std::vector<Change> kept_over_their_end(const std::vector<Container>& containers) {
  std::vector<Change> kept;
  for (const auto& container : containers) {
    if (container.remove_when_ended) kept.emplace_back(change::KeepContainer{container.id});
  }
  return kept;
}

// Those that are stopped have a plan as `start` has it. What the start of one that runs will find is known only when it has
// ended (its address, for one, is free again then), so that part is named and not spelled out.
void plan_restart(const Context& context, const std::vector<Container>& containers, int seconds) {
  for (const auto& container : containers) container::require_process(container);
  require_privilege();
  std::vector<Container> running;
  std::copy_if(containers.begin(), containers.end(), std::back_inserter(running),
               [&](const Container& container) { return engine::is_running(context.setup(), container); });
  auto changes = kept_over_their_end(containers);
  const auto ends = end_changes(context, running);
  changes.insert(changes.end(), ends.begin(), ends.end());
  const auto starts = start_changes(context, containers);
  changes.insert(changes.end(), starts.begin(), starts.end());
  std::vector<Deed> again;
  for (const auto& container : running) {
    again.push_back(
        {"start_container", fmt::format("start '{0}' again, as 'minibridge start {0}' does", container.name.str())});
  }
  context.print_plan_of(changes, stop_deeds(context, running, seconds), again);
}

void restart_containers(Context& context, const std::vector<Container>& containers, int seconds) {
  if (context.globals.dry_run) {
    plan_restart(context, containers, seconds);
    return;
  }
  const auto kept = kept_over_their_end(containers);
  if (!kept.empty()) {
    require_privilege();
    context.change(kept);
  }
  stop_containers(context, containers, seconds, false);
  const auto state = context.state();
  std::vector<Container> again;
  for (const auto& container : containers) {
    auto found = state->find_container(container.id);
    if (!found) continue;
    found->remove_when_ended = container.remove_when_ended;
    again.push_back(std::move(*found));
  }
  start_containers(context, again);
}

void kill_containers(const Context& context, const std::vector<Container>& containers, const std::string& signal) {
  const int number = parse_signal(signal);
  require_privilege();
  if (context.globals.dry_run) {
    std::vector<Deed> deeds;
    for (const auto& container : containers) {
      container::require_process(container);
      require_running(context.setup(), container);
      deeds.push_back({"send_signal", fmt::format("send {} to '{}'", signal_name(number), container.name.str())});
    }
    context.print_plan({}, deeds);
    return;
  }
  for_each(containers, [&](const Container& container) {
    container::kill(context.setup(), container, number);
    print_line(container.name.str());
  });
}

struct RmOptions {
  std::vector<std::string> names;
  bool force = false;
};

// As they are now, after their processes were ended.
std::vector<Change> removals(const Context& context, const std::vector<Container>& containers) {
  const auto state = context.state();
  const store::Store::View view(*state);
  std::vector<Change> changes;
  for (const auto& container : containers) {
    if (container.kind != ContainerKind::process) {  // nothing ends by itself there
      changes.emplace_back(change::RemoveContainer{container.id});
      continue;
    }
    const auto now = state->find_container(container.id);
    if (!now) continue;  // it was to be removed when it ended
    if (now->status == ContainerStatus::running) {
      changes.emplace_back(end_change(context, *now));
      if (now->remove_when_ended) continue;
    }
    changes.emplace_back(change::RemoveContainer{now->id});
  }
  return changes;
}

void remove_containers(Context& context, const RmOptions& options) {
  const auto containers = find_all(context, options.names);
  const auto setup = context.setup();
  std::vector<std::string> names;
  for (const auto& container : containers) {
    if (engine::is_running(setup, container) && !options.force) {
      throw Error(ErrorKind::conflict, fmt::format("container '{}' is running", container.name.str()),
                  fmt::format("stop it first, or use 'minibridge rm -f {}'", container.name.str()));
    }
    names.push_back(container.name.str());
  }
  require_privilege();
  if (context.globals.dry_run) {
    context.print_plan_of(removals(context, containers), stop_deeds(context, containers, 0));
    return;
  }
  container::stop(setup, containers, milliseconds(0));
  context.change(removals(context, containers), names);
}

// --- logs, port, wait ------------------------------------------------------------------------------------------------

struct LogOptions {
  std::string name;
  std::string tail = "all";
  bool follow = false;
};

void show_log(const Context& context, const LogOptions& options) {
  const auto state = context.state();
  const auto found = context.container(*state, options.name);
  container::require_process(found);
  std::optional<std::size_t> tail;
  if (options.tail != "all") {
    Scanner scan("number of lines", options.tail);
    tail = scan.number("a number, or 'all',", 0, UINT32_MAX);
    scan.expect_end();
  }
  const container::LogSink sink = [](container::Stream stream, std::string_view text) {
    auto* file = stream == container::Stream::out ? stdout : stderr;
    std::fwrite(text.data(), 1, text.size(), file);
    std::fflush(file);
  };
  if (options.follow && engine::is_running(context.setup(), found)) {
    const container::ExitWaiter ended(context.globals.state_dir, found.id, found.supervisor_pid);
    container::follow_log(context.globals.state_dir, found.id, tail, sink, ended);
  } else {
    container::read_log(context.globals.state_dir, found.id, tail, sink);
  }
}

void show_ports(const Context& context, const std::string& name) {
  const auto state = context.state();
  const auto found = context.container(*state, name);
  auto ports = found.ports;
  for (const auto& port : plan::routed_ports(found, state->networks())) ports.push_back(port);
  if (context.globals.json()) {
    print_line(json_of_ports(ports));
    return;
  }
  for (const auto& port : ports) {
    const bool v6 = port.host_address.family() == Family::v6;
    print_line(fmt::format("{}/{} -> {}:{}", port.container_ports.str(), to_string(port.protocol),
                           v6 ? fmt::format("[{}]", port.host_address.str()) : port.host_address.str(),
                           port.host_ports.str()));
  }
}

void plan_wait(const Context& context, const std::vector<Container>& containers) {
  std::vector<Deed> deeds;
  for (const auto& container : containers) {
    container::require_process(container);
    deeds.push_back({"wait", fmt::format("wait for the end of '{}'", container.name.str())});
  }
  context.print_plan({}, deeds);
}

void wait_for_containers(const Context& context, const std::vector<Container>& containers) {
  if (context.globals.dry_run) {
    plan_wait(context, containers);
    return;
  }
  for (const auto& container : containers) {
    const int status = container::wait_for_end(context.setup(), container);
    print_line(context.globals.json() ? json_of_status(container.name.str(), status) : fmt::format("{}", status));
    flush_output();
  }
}

void add_ps(CLI::App& app, Context& context) {
  auto options = std::make_shared<PsOptions>();
  auto* verb = add_verb(app, "ps", "list containers", "minibridge ps -a");
  verb->add_flag("-a,--all", options->all, "those that ended, too");
  verb->add_flag("-q,--quiet", options->quiet, "ids only");
  verb->callback([options, &context] { list_containers(context, *options); });
}

void add_stop_verbs(CLI::App& app, Context& context) {
  struct StopOptions {
    std::vector<std::string> names;
    int seconds = kPatience;
  };
  const auto add = [&](const char* name, const char* what, const char* example, auto action) {
    auto options = std::make_shared<StopOptions>();
    auto* verb = add_verb(app, name, what, example);
    expect_number(verb->add_option("-t,--time", options->seconds, "seconds before it is killed"), 0, 86400)
        ->capture_default_str();
    add_names(*verb, options->names);
    verb->callback(
        [options, &context, action] { action(context, find_all(context, options->names), options->seconds); });
  };
  add("stop", "end containers: SIGTERM, and SIGKILL when that does not help", "minibridge stop -t 2 web",
      [](Context& c, const std::vector<Container>& containers, int seconds) {
        stop_containers(c, containers, seconds, true);
      });
  add("restart", "stop containers and start them again", "minibridge restart web",
      [](Context& c, const std::vector<Container>& containers, int seconds) {
        restart_containers(c, containers, seconds);
      });
}

}  // namespace

void add_container_verbs(CLI::App& app, Context& context) {
  add_ps(app, context);

  auto start = std::make_shared<Names>();
  auto* start_verb = add_verb(app, "start", "run stopped containers again", "minibridge start web");
  add_names(*start_verb, start->names);
  start_verb->callback([start, &context] { start_containers(context, find_all(context, start->names)); });

  add_stop_verbs(app, context);

  auto kill = std::make_shared<std::pair<Names, std::string>>(Names{}, "KILL");
  auto* kill_verb = add_verb(app, "kill", "send a signal to containers", "minibridge kill -s HUP web");
  kill_verb->add_option("-s,--signal", kill->second, "name or number")->capture_default_str();
  add_names(*kill_verb, kill->first.names);
  kill_verb->callback(
      [kill, &context] { kill_containers(context, find_all(context, kill->first.names), kill->second); });

  auto rm = std::make_shared<RmOptions>();
  auto* rm_verb = add_verb(app, "rm", "remove containers, all in one go", "minibridge rm -f web db");
  rm_verb->add_flag("-f,--force", rm->force, "kill those that run");
  add_names(*rm_verb, rm->names);
  rm_verb->callback([rm, &context] { remove_containers(context, *rm); });

  auto logs = std::make_shared<LogOptions>();
  auto* logs_verb = add_verb(app, "logs", "show what a detached container printed", "minibridge logs -f --tail 20 web");
  logs_verb->add_flag("-f,--follow", logs->follow, "go on until the container ends");
  logs_verb->add_option("-n,--tail", logs->tail, "only so many lines from the end")->capture_default_str();
  logs_verb->add_option("NAME", logs->name, "name or id")->required();
  logs_verb->callback([logs, &context] { show_log(context, *logs); });

  auto port = std::make_shared<std::string>();
  auto* port_verb = add_verb(app, "port", "list a container's published ports", "minibridge port web");
  port_verb->add_option("NAME", *port, "name or id")->required();
  port_verb->callback([port, &context] { show_ports(context, *port); });

  auto wait = std::make_shared<Names>();
  auto* wait_verb = add_verb(app, "wait", "wait until containers end, print their exit status", "minibridge wait web");
  add_names(*wait_verb, wait->names);
  wait_verb->callback([wait, &context] { wait_for_containers(context, find_all(context, wait->names)); });
}

}  // namespace mb::cli
