// SPDX-License-Identifier: GPL-2.0-or-later
//
// run, create
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/container_options.h"
#include "src/cli/context.h"
#include "src/cli/draw.h"
#include "src/cli/output.h"
#include "src/cli/process_options.h"
#include "src/cli/verbs.h"
#include "src/container/check.h"
#include "src/container/lifecycle.h"
#include "src/engine/doctor.h"
#include "src/engine/session.h"
#include "src/plan/find_network.h"

namespace mb::cli {
namespace {

struct RunOptions {
  NetworkOptions network;
  ProcessOptions process;
  std::string name;
  bool detach = false;
  bool remove = false;
  std::vector<std::string> command;
};

void check_run(const Container& container, const NetworkOptions& network) {
  if (container.process.argv.empty() && container.publish.empty() && container.exposed.empty()) {
    throw Error(ErrorKind::usage, "there is nothing to run",
                "give a command after '--', or publish a port and the test server answers on it");
  }
  if (!container.sysctls.empty() && container.attachment == Attachment::host) {
    throw Error(ErrorKind::usage, "--sysctl would change the host's own network with --network host");
  }
  const auto* option = network.publish.empty() ? "--publish-all" : "--publish";
  if (container.attachment == Attachment::host && !container.publish.empty()) {
    throw Error(ErrorKind::usage,
                fmt::format("{} has no meaning with --network host: the container's ports are the host's own", option));
  }
  if (container.attachment == Attachment::none && !container.publish.empty()) {
    throw Error(ErrorKind::usage,
                fmt::format("{} has no meaning with --network none: the container is in no network", option));
  }
  container::check_process_spec(container.process);
}

// The network as it is, or as it will be when this container makes it.
Network first_network(const Context& context, const ContainerDraft& draft) {
  const auto& name = draft.add.endpoints.front().network;
  if (auto found = plan::find_network(context.state()->networks(), name)) return *found;
  for (auto& network : context.engine().plan(draft.before).delta.added_networks) {
    if (network.name.str() == name) return network;
  }
  return context.network(*context.state(), name);  // there is none
}

void name_the_gateway(const Context& context, ContainerDraft& draft) {
  if (draft.names_of_gateway.empty()) return;
  const auto gateway = first_network(context, draft).pools.front().gateway;
  for (const auto& name : draft.names_of_gateway) draft.add.container.extra_hosts.push_back({name, gateway});
}

void run_container(Context& context, RunOptions options) {
  options.command.insert(options.command.end(), context.command.begin(), context.command.end());
  const auto name = options.name.empty() ? draw_name() : Name::parse(options.name);
  const auto setup = context.setup();
  auto draft = draft_container(options.network, name, setup.now());
  auto& container = draft.add.container;
  container.kind = ContainerKind::process;
  container.process = process_spec(options.process, options.command, container.hostname);
  container.remove_when_ended = options.remove || !options.detach;
  check_run(container, options.network);
  require_privilege();
  name_the_gateway(context, draft);
  if (context.globals.dry_run) {
    container.status = ContainerStatus::running;
    auto changes = draft.before;
    changes.emplace_back(draft.add);
    context.print_plan_of(changes);
    return;
  }
  const auto engine = context.engine();
  const std::string id = container.id;
  container::RunRequest request{std::move(draft.before), std::move(draft.add)};
  if (options.detach) {
    container::run_detached(engine, request, Context::notify);
    Context::notify(engine::warn_of_stops(engine.setup(), {id}));
    print_line(id);
  } else {
    const auto notify = [&](const std::vector<std::string>& notices) {
      Context::notify(notices);
      Context::notify(engine::warn_of_stops(engine.setup(), {id}));
    };
    const auto end = container::run_foreground(engine, std::move(request), notify);
    context.exit_status = end.exit_status;
    if (end.left_over) print_error(*end.left_over, context.globals.json());
  }
}

struct CreateOptions {
  NetworkOptions network;
  std::string netns;
  std::vector<std::string> names;
};

kernel::Kernel::NamespaceContents contents_of_foreign(kernel::Kernel& kernel, const std::string& path) {
  try {
    return kernel.inspect_namespace(path);
  } catch (const Error& error) {
    throw Error(error.kind(), error.message(), "--netns takes a path such as /run/netns/NAME or /proc/PID/ns/net",
                error.error_number());
  }
}

// A namespace made by somebody else: what it has already decides the interface's name and the default route.
void adopt_namespace(Context& context, change::AddContainer& add, const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  add.container.kind = ContainerKind::foreign_netns;
  add.container.namespace_source = absolute.string();
  const auto session = engine::open_session(context.setup());
  const auto contents = contents_of_foreign(*session.kernel, add.container.namespace_source);
  if (contents.cookie == session.kernel->namespace_cookie()) {
    throw Error(ErrorKind::usage, fmt::format("'{}' is the host's own network namespace", printable(path)),
                "--netns attaches another one; 'minibridge run --network host' runs a command in the host's");
  }
  add.taken_links = contents.links;
  add.default_routes = contents.default_routes;
}

void check_create(const CreateOptions& options) {
  if (options.netns.empty()) return;
  if (options.names.size() > 1) throw Error(ErrorKind::usage, "--netns attaches one namespace, so it takes one name");
  if (!options.network.sysctls.empty()) {
    throw Error(ErrorKind::usage, "--sysctl is not for a namespace made by somebody else",
                "nothing in it is changed but the endpoint that is added");
  }
}

void create_containers(Context& context, const CreateOptions& options) {
  check_create(options);
  const auto setup = context.setup();
  require_privilege();
  std::vector<Change> changes;
  std::vector<std::string> ids;
  for (const auto& name : options.names) {
    auto draft = draft_container(options.network, Name::parse(name), setup.now());
    auto& container = draft.add.container;
    if (container.attachment == Attachment::host) {
      throw Error(ErrorKind::usage, "--network host leaves nothing to create");
    }
    container.kind = ContainerKind::netns;
    container.process.environment = default_environment(container.hostname, false);
    name_the_gateway(context, draft);
    if (!options.netns.empty()) adopt_namespace(context, draft.add, options.netns);
    ids.push_back(container.id);
    if (changes.empty()) changes = draft.before;
    changes.emplace_back(std::move(draft.add));
  }
  context.change(changes, ids);
  if (!context.globals.dry_run && !options.network.publish.empty()) {
    Context::notify(engine::warn_of_stops(setup, ids));
  }
}

}  // namespace

void add_run_verb(CLI::App& app, Context& context) {
  auto run = std::make_shared<RunOptions>();
  auto* verb = add_verb(app, "run", "run a command in a container of its own",
                        "minibridge run --publish 8080:80           (answers 'curl localhost:8080')\n"
                        "         minibridge run -d --name web -p 8080:80 -- python3 -m http.server 80");
  verb->add_option("--name", run->name, "the container's name; default: a random readable one");
  add_network_options(*verb, run->network);
  add_process_options(*verb, run->process);
  verb->add_flag("-d,--detach", run->detach, "run in the background and print the id");
  verb->add_flag("--rm", run->remove, "remove the container when it ends (always, in the foreground)");
  verb->add_option("CMD", run->command, "the command and its arguments; those that begin with '-' go after '--'");
  verb->callback([run, &context] { run_container(context, *run); });
}

void add_create_verb(CLI::App& app, Context& context) {
  auto options = std::make_shared<CreateOptions>();
  auto* verb = add_verb(app, "create", "make a namespace with its endpoints and no process in it",
                        "minibridge create lab1 lab2 && minibridge exec lab1 -- ping -c1 lab2\n"
                        "         minibridge create --netns /run/netns/mine mine");
  add_network_options(*verb, options->network);
  verb->add_option("--netns", options->netns, "attach this existing namespace instead of making one");
  verb->add_option("NAME", options->names, "names of the containers")->required();
  verb->callback([options, &context] { create_containers(context, *options); });
}

}  // namespace mb::cli
