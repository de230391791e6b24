// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/cli/context.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/draw.h"
#include "src/cli/json.h"
#include "src/cli/output.h"
#include "src/container/alive.h"
#include "src/container/name_servers.h"
#include "src/container/run_files.h"
#include "src/engine/session.h"
#include "src/plan/find_network.h"

namespace mb::cli {
namespace {

bool has_capability(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return true;  // then the kernel will say it
  return (data[capability / 32].effective & (1U << (capability % 32))) != 0;
}

}  // namespace

void require_privilege() {
  std::vector<std::string> missing;
  if (!has_capability(CAP_NET_ADMIN)) missing.emplace_back("CAP_NET_ADMIN");
  if (!has_capability(CAP_SYS_ADMIN)) missing.emplace_back("CAP_SYS_ADMIN");
  if (missing.empty()) return;
  throw Error(
      ErrorKind::privilege, fmt::format("seeing or changing this host's network needs {}", join(missing, " and ")),
      "use sudo, or a private world: unshare --user --net --mount --map-root-user; 'minibridge lab' needs none");
}

engine::Setup Context::setup() const {
  engine::Setup setup;
  setup.state_dir = globals.state_dir;
  setup.is_alive = [dir = globals.state_dir](const Id& id) { return container::is_alive(dir, id); };
  setup.written_exit_status = [dir = globals.state_dir](const Id& id) {
    return container::written_exit_status(dir, id);
  };
  setup.name_servers = container::make_name_servers(globals.state_dir);
  setup.now = [] { return static_cast<std::int64_t>(std::time(nullptr)); };
  setup.draw_state_id = [] { return draw_hex(8); };
  if (globals.verbose) setup.report = [](const std::string& step) { print_error_line(step); };
  return setup;
}

std::unique_ptr<store::Store> Context::state() const { return engine::open_state(setup()); }

Container Context::container(const store::Store& state, const std::string& name) const {
  if (auto found = state.find_container(name)) return *found;
  throw Error(ErrorKind::not_found, fmt::format("there is no container '{}'", printable(name)),
              "'minibridge ps -a' lists them");
}

Network Context::network(const store::Store& state, const std::string& name) const {
  if (auto found = plan::find_network(state.networks(), name)) return *found;
  throw Error(ErrorKind::not_found, fmt::format("there is no network '{}'", printable(name)),
              "'minibridge network ls' lists them");
}

void Context::change(const std::vector<Change>& changes, const std::vector<std::string>& what) {
  require_privilege();
  if (globals.dry_run) {
    print_plan_of(changes);
    return;
  }
  notify(engine().run(changes).notices);
  for (const auto& line : what) print_line(line);
}

void Context::print_plan_of(const std::vector<Change>& changes, const std::vector<Deed>& before,
                            const std::vector<Deed>& after) const {
  // Where nothing is asked of the pipe, nothing of the host has to be looked at.
  print_plan(changes.empty() ? engine::Outcome{} : engine().plan(changes), before, after);
}

void Context::print_plan(const engine::Outcome& outcome, const std::vector<Deed>& before,
                         const std::vector<Deed>& after) const {
  if (globals.json()) {
    print_line(json_of_plan(outcome.plan, outcome.name_of, before, after));
    return;
  }
  if (outcome.plan.empty() && before.empty() && after.empty()) print_line("nothing to do");
  for (const auto& deed : before) print_line("would " + deed.text);
  std::size_t number = 0;
  for (const auto& step : outcome.plan) {
    print_line(fmt::format("{:>3}  {}", ++number, print(step, outcome.name_of)));
    const auto rules = print_rules(step);
    for (const auto line : split(rules, '\n')) {
      if (!line.empty()) print_line(fmt::format("       {}", line));
    }
  }
  for (const auto& deed : after) print_line("would " + deed.text);
}

void Context::notify(const std::vector<std::string>& notices) {
  for (const auto& notice : notices) print_error_line("note: " + notice);
}

void require_running(const engine::Setup& setup, const Container& container) {
  if (container.kind != ContainerKind::process || engine::is_running(setup, container)) return;
  throw Error(ErrorKind::conflict, fmt::format("container '{}' is not running", container.name.str()),
              fmt::format("'minibridge start {}' runs it again", container.name.str()));
}

std::string status_text(const engine::Setup& setup, const Container& container) {
  if (container.kind != ContainerKind::process) return "created";
  if (engine::is_running(setup, container)) return "running";
  if (container.status == ContainerStatus::created) return "created";
  return container.exit_status ? fmt::format("exited ({})", *container.exit_status) : "exited (killed)";
}

}  // namespace mb::cli
