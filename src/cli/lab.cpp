// SPDX-License-Identifier: GPL-2.0-or-later
//
// lab up, ls, exec, shell, graph, down
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <memory>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/json.h"
#include "src/cli/output.h"
#include "src/cli/parsing.h"
#include "src/cli/verbs.h"
#include "src/lab/graph.h"
#include "src/lab/hold.h"
#include "src/lab/registry.h"
#include "src/lab/topology.h"
#include "src/lab/visit.h"

namespace mb::cli {
namespace {

constexpr std::size_t kUsualWidth = 80;

struct LabWords {
  std::string topology{lab::kDefaultTopology};
  std::string name;
  std::string lab;
  std::string node;
  std::string format = "text";
  std::vector<std::string> command;
  bool all = false;
};

std::string names_of(const lab::Lab& lab) { return join(lab.topology.node_names(), " "); }

void print_labs(const Context& context, const std::vector<lab::Lab>& labs) {
  if (context.globals.json()) {
    print_line(json_of_labs(labs));
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& lab : labs) {
    const std::time_t since = lab.since;
    rows.push_back({lab.name.str(), lab.topology.name, fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(since)),
                    std::to_string(lab.pid), names_of(lab)});
  }
  print_table({"NAME", "TOPOLOGY", "UP SINCE", "PID", "NODES"}, rows);
}

// The name of a topology from a file may be anything.
Name default_name(const lab::Topology& topology) {
  try {
    return Name::parse(topology.name);
  } catch (const Error&) {
    return Name::parse("lab");
  }
}

void up(const Context& context, const LabWords& words) {
  const auto topology = lab::load_topology(words.topology);
  if (context.globals.dry_run) {
    const auto name = words.name.empty() ? default_name(topology) : Name::parse(words.name);
    context.print_deed("make_lab",
                       fmt::format("make a lab of the topology '{}', with the nodes {}, under the name '{}'",
                                   topology.name, join(topology.node_names(), ", "), name.str()));
    return;
  }
  const auto registry = lab::Registry::open();
  auto reservation =
      words.name.empty() ? registry.reserve_any(default_name(topology)) : registry.reserve(Name::parse(words.name));
  const Name name = reservation.name();
  lab::HoldOptions options;
  options.lab_name = name.str();
  options.kept = {reservation.lock()};
  auto holder = lab::hold_for_good(topology, options);
  registry.publish(std::move(reservation), topology, holder.pid());
  holder.release();
  if (context.globals.json()) {
    print_line(json_of_labs({registry.find(name.str())}));
    return;
  }
  print_line(name.str());
  if (::isatty(STDERR_FILENO) == 1) {
    print_error_line(fmt::format("nodes: {}. Try 'minibridge lab shell {}' or 'minibridge lab graph'.",
                                 join(topology.node_names(), ", "), topology.nodes.front().name.str()));
  }
}

void run_in_node(Context& context, const LabWords& words, const std::vector<std::string>& command) {
  const auto registry = lab::Registry::open();
  const auto lab = registry.find(words.lab);
  if (context.globals.dry_run) {
    const auto node = lab.topology.node(words.node).name.str();
    context.print_deed("run_command", fmt::format("run '{}' in node '{}' of lab '{}'", printable(join(command, " ")),
                                                  node, lab.name.str()));
    return;
  }
  context.exit_status = lab::run_in_node(registry, lab, words.node, command);
}

void exec(Context& context, LabWords words) {
  words.command.insert(words.command.end(), context.command.begin(), context.command.end());
  if (words.command.empty())
    throw Error(ErrorKind::usage, "a command is missing", "minibridge lab exec NODE -- CMD ARG…");
  run_in_node(context, words, words.command);
}

void shell(Context& context, const LabWords& words) { run_in_node(context, words, lab::shell_command()); }

// What a drawing has no room for: the networks and containers inside of a node, say.
void describe_nodes(const lab::Topology& topology) {
  for (const auto& node : topology.nodes) {
    if (!node.about.empty()) print_line(fmt::format("{}: {}", node.name.str(), node.about));
  }
}

void graph(const LabWords& words) {
  const auto topology =
      words.topology.empty() ? lab::Registry::open().find(words.lab).topology : lab::load_topology(words.topology);
  std::string drawing;
  if (words.format == "mermaid") {
    drawing = lab::draw_mermaid(topology);
  } else if (words.format == "svg") {
    drawing = lab::draw_svg(topology);
  } else {
    drawing = lab::draw_text(topology, terminal_width().value_or(kUsualWidth));
  }
  drawing.pop_back();  // print_line ends the last line
  print_line(drawing);
  if (words.format == "text") describe_nodes(topology);
}

void plan_down(const Context& context, const std::vector<lab::Lab>& labs) {
  std::vector<Deed> ends;
  for (const auto& lab : labs) ends.push_back({"end_lab", fmt::format("end lab '{}'", lab.name.str())});
  context.print_plan({}, ends);
}

void down(const Context& context, const LabWords& words) {
  const auto registry = lab::Registry::open();
  std::vector<lab::Lab> labs;
  if (words.all) {
    labs = registry.all();
  } else {
    labs.push_back(registry.find(words.lab));
  }
  if (context.globals.dry_run) {
    plan_down(context, labs);
    return;
  }
  for (const auto& lab : labs) {
    registry.take_down(lab);
    print_line(lab.name.str());
  }
}

void add_up(CLI::App& family, Context& context) {
  auto words = std::make_shared<LabWords>();
  auto* verb = add_verb(family, "up", "make a simulated world and leave it running", "minibridge lab up docker-host");
  verb->add_option("TOPOLOGY", words->topology, fmt::format("a file, or one of: {}", join(lab::topology_names(), ", ")))
      ->capture_default_str();
  verb->add_option("--name", words->name, "its name; default: the topology's");
  verb->callback([words, &context] { up(context, *words); });
}

void add_exec(CLI::App& family, Context& context) {
  auto words = std::make_shared<LabWords>();
  auto* verb = add_verb(family, "exec", "run a command in a node", "minibridge lab exec vm -- ip addr");
  verb->add_option("--lab", words->lab, "which lab; not needed when one is up");
  verb->add_option("NODE", words->node, "the node")->required();
  verb->add_option("CMD", words->command, "the command; words that begin with '-' go after '--'");
  verb->callback([words, &context] { exec(context, *words); });
}

void add_shell(CLI::App& family, Context& context) {
  auto words = std::make_shared<LabWords>();
  auto* verb = add_verb(family, "shell", "open a shell in a node", "minibridge lab shell vm");
  verb->add_option("--lab", words->lab, "which lab; not needed when one is up");
  verb->add_option("NODE", words->node, "the node")->required();
  verb->callback([words, &context] { shell(context, *words); });
}

void add_graph(CLI::App& family) {
  auto words = std::make_shared<LabWords>();
  words->topology.clear();
  auto* verb = add_verb(family, "graph", "draw a lab with its interfaces and addresses",
                        "minibridge lab graph --topology article --format svg > article.svg");
  verb->add_option("LAB,--lab", words->lab, "which lab; not needed when one is up");
  verb->add_option("--topology", words->topology, "draw this one, without a lab");
  expect_word(verb->add_option("--format", words->format, "text, mermaid or svg"), {"text", "mermaid", "svg"})
      ->capture_default_str();
  verb->callback([words] { graph(*words); });
}

void add_down(CLI::App& family, Context& context) {
  auto words = std::make_shared<LabWords>();
  auto* verb = add_verb(family, "down", "end a lab with everything in it", "minibridge lab down --all");
  verb->add_option("LAB,--lab", words->lab, "which lab; not needed when one is up");
  verb->add_flag("--all", words->all, "every lab of this user");
  verb->callback([words, &context] { down(context, *words); });
}

}  // namespace

void add_lab_verbs(CLI::App& app, Context& context) {
  auto* family = app.add_subcommand("lab", "a simulated internet in namespaces, no root needed");
  family->set_help_flag("-h,--help", "show this help");
  family->footer("Example: minibridge lab up");
  family->require_subcommand(1);
  family->fallthrough();
  add_up(*family, context);
  auto* ls = add_verb(*family, "ls", "list the labs that are up", "minibridge lab ls --format json");
  ls->callback([&context] { print_labs(context, lab::Registry::open().all()); });
  add_exec(*family, context);
  add_shell(*family, context);
  add_graph(*family);
  add_down(*family, context);
}

}  // namespace mb::cli
