// SPDX-License-Identifier: GPL-2.0-or-later
//
// exec
#include "src/container/exec.h"

#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/process_options.h"
#include "src/cli/verbs.h"
#include "src/container/check.h"

namespace mb::cli {
namespace {

struct ExecOptions {
  ProcessOptions process;
  std::string name;
  std::vector<std::string> command;
};

container::ExecTarget target_of(const Context& context, const Container& container) {
  container::ExecTarget target;
  target.id = container.id;
  target.name = container.name;
  target.state_dir = context.globals.state_dir;
  target.hostname = container.hostname;
  if (container.kind == ContainerKind::process) {
    target.init_pid = container.init_pid;
  } else {
    target.namespace_path = fmt::format("{}/netns/{}", context.globals.state_dir, container.id);
  }
  return target;
}

// The container's own process with what was said otherwise.
ProcessSpec spec_of(const Container& container, const ExecOptions& options) {
  auto spec = container.process;
  spec.argv = options.command;
  if (options.process.terminal) give_terminal_type(spec.environment);
  spec.environment = environment_with(spec.environment, options.process);
  if (!options.process.working_directory.empty()) spec.working_directory = options.process.working_directory;
  if (!options.process.user.empty()) spec.user = options.process.user;
  spec.privileged = spec.privileged || options.process.privileged;
  spec.terminal = options.process.terminal;
  spec.interactive = options.process.interactive;
  return spec;
}

void exec_command(Context& context, ExecOptions options) {
  options.command.insert(options.command.end(), context.command.begin(), context.command.end());
  if (options.command.empty())
    throw Error(ErrorKind::usage, "a command is missing", "minibridge exec NAME -- CMD ARG…");
  const auto state = context.state();
  const auto container = context.container(*state, options.name);
  require_running(context.setup(), container);
  require_privilege();
  const auto spec = spec_of(container, options);
  container::check_process_spec(spec);
  if (context.globals.dry_run) {
    context.print_deed("run_command",
                       fmt::format("run '{}' in '{}'", printable(join(spec.argv, " ")), container.name.str()));
    return;
  }
  context.exit_status = container::exec_in_container(target_of(context, container), spec);
}

}  // namespace

void add_exec_verb(CLI::App& app, Context& context) {
  auto options = std::make_shared<ExecOptions>();
  auto* verb = add_verb(app, "exec", "run a further command in a container",
                        "minibridge exec web -- ip addr\n         minibridge exec -it web -- sh");
  add_exec_options(*verb, options->process);
  verb->add_option("NAME", options->name, "name or id")->required();
  verb->add_option("CMD", options->command, "the command; words that begin with '-' go after '--'");
  verb->callback([options, &context] { exec_command(context, *options); });
}

}  // namespace mb::cli
