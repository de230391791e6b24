// SPDX-License-Identifier: GPL-2.0-or-later
//
// plan, repair, rules, down, version
#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/cli/context.h"
#include "src/cli/json.h"
#include "src/cli/output.h"
#include "src/cli/verbs.h"
#include "src/container/lifecycle.h"
#include "src/model/chains.h"

#ifndef MINIBRIDGE_VERSION
#define MINIBRIDGE_VERSION "unknown"
#endif

namespace mb::cli {
namespace {

// --- repair, down ----------------------------------------------------------------------------------------------------

void check(Context& context) {
  const auto outcome = context.engine().check();
  if (outcome.plan.empty() && !context.globals.json()) {
    print_line("everything is as it was asked for");
  } else {
    context.print_plan(outcome);
  }
  if (!outcome.plan.empty()) context.exit_status = 5;
}

void repair(Context& context, bool only_check) {
  if (!context.globals.dry_run) require_privilege();
  if (only_check) {
    check(context);
    return;
  }
  if (context.globals.dry_run) {
    context.print_plan(context.engine().check());
    return;
  }
  const auto outcome = context.engine().repair();
  Context::notify(outcome.notices);
  if (context.globals.json()) {
    context.print_plan(outcome);
  } else if (outcome.plan.empty()) {
    print_line("everything is as it was asked for");
  } else {
    for (const auto& step : outcome.plan) print_line("repaired: " + print(step, outcome.name_of));
  }
}

void take_down(Context& context) {
  if (context.globals.dry_run) {
    context.print_plan(context.engine().plan_take_down());
    return;
  }
  require_privilege();
  // Somebody may start a container between the two; then it is stopped as well.
  constexpr int kMostAttempts = 20;
  for (int attempt = 1;; ++attempt) {
    container::stop(context.setup(), context.state()->running(), std::chrono::milliseconds(0));
    try {
      Context::notify(context.engine().take_down().notices);
      return;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::conflict || attempt == kMostAttempts) throw;
    }
  }
}

// --- rules -----------------------------------------------------------------------------------------------------------

bool concerns(const Rule& rule, const std::string& name) {
  const auto comment = rule.comment();
  return comment.starts_with(fmt::format("minibridge {}: ", name)) ||
         comment.starts_with(fmt::format("minibridge network {}: ", name));
}

class RuleLister {
 public:
  explicit RuleLister(const engine::RuleReport& report) : report_(report) {}

  std::vector<RuleView> list() {
    for (const auto& [key, wanted] : report_.wanted) list_table(key, wanted, present(key));
    for (const auto& [key, found] : report_.present) {
      if (!report_.wanted.contains(key)) list_table(key, {}, found);
    }
    std::stable_sort(views_.begin(), views_.end(), [](const RuleView& a, const RuleView& b) {
      return std::pair(a.table, rank(a.chain)) < std::pair(b.table, rank(b.chain));
    });
    return std::move(views_);
  }

 private:
  // In the order in which a packet meets the chains.
  static std::size_t rank(std::string_view chain) {
    constexpr std::array<std::string_view, 13> kOrder = {
        "PREROUTING",     "INPUT",    "FORWARD",     "OUTPUT",    "POSTROUTING", kRawChain,  kPublishChain,
        kMasqueradeChain, kUserChain, kForwardChain, kEnterChain, kRoutedChain,  kInputChain};
    return static_cast<std::size_t>(std::find(kOrder.begin(), kOrder.end(), chain) - kOrder.begin());
  }

  using Chains = std::map<std::string, std::vector<Rule>>;

  const TableRules& present(const TableKey& key) const {
    static const TableRules kNone;
    const auto found = report_.present.find(key);
    return found == report_.present.end() ? kNone : found->second;
  }

  void list_table(const TableKey& key, const TableRules& wanted, const TableRules& found) {
    list_chains(key, wanted.hooks, found.hooks);
    list_chains(key, wanted.chains, found.chains);
  }

  void list_chains(const TableKey& key, const Chains& wanted, const Chains& found) {
    for (const auto& [chain, rules] : wanted) {
      const auto present_chain = found.find(chain);
      list_chain(key, chain, rules, present_chain == found.end() ? std::vector<Rule>{} : present_chain->second);
    }
    for (const auto& [chain, rules] : found) {
      if (!wanted.contains(chain)) list_chain(key, chain, {}, rules);
    }
  }

  void list_chain(const TableKey& key, const std::string& chain, const std::vector<Rule>& wanted,
                  std::vector<Rule> found) {
    for (const auto& rule : wanted) {
      const auto match = std::find(found.begin(), found.end(), rule);
      views_.push_back({key, chain, rule, match == found.end() ? "missing" : "present"});
      if (match != found.end()) found.erase(match);
    }
    for (const auto& rule : found) {
      const bool operators = chain == kUserChain;
      views_.push_back({key, chain, rule, operators ? "present" : "unexpected"});
      if (operators) views_.back().rule.why = "the operator's own rule";
    }
  }

  const engine::RuleReport& report_;
  std::vector<RuleView> views_;
};

std::string remark(const RuleView& view) {
  if (view.state == "missing") return "MISSING, 'minibridge repair' puts it back: " + view.rule.why;
  if (view.state == "unexpected") return "NOT ASKED FOR, 'minibridge repair' takes it out";
  return view.rule.why;
}

// iptables-save form with the reason above each rule; comments keep it readable for iptables-restore.
void print_rules_with_why(const std::vector<RuleView>& views) {
  std::string table;
  for (const auto& view : views) {
    const auto heading = fmt::format("*{}", to_string(view.table.table));
    if (heading != table) {
      if (!table.empty()) print_line("COMMIT\n");
      print_line(bold(heading));
      table = heading;
    }
    print_line(dim("# " + remark(view)));
    print_line(view.state == "missing" ? dim("# " + print(view.chain, view.rule)) : print(view.chain, view.rule));
  }
  if (!table.empty()) print_line("COMMIT");
}

void show_rules(const Context& context, const std::string& name) {
  if (!name.empty()) {
    const auto state = context.state();
    const auto networks = state->networks();
    const bool is_network =
        std::any_of(networks.begin(), networks.end(), [&](const Network& n) { return n.name.str() == name; });
    if (!is_network) context.container(*state, name);
  }
  require_privilege();
  const auto report = context.engine().rules();
  auto views = RuleLister(report).list();
  if (!name.empty()) {
    std::erase_if(views, [&](const RuleView& view) { return !concerns(view.rule, name); });
  }
  if (context.globals.json()) {
    print_line(json_of_rules(views));
  } else {
    print_rules_with_why(views);
  }
}

}  // namespace

void add_maintenance_verbs(CLI::App& app, Context& context) {
  // "plan VERB …" becomes "--dry-run VERB …" before the words are parsed; here it is only explained.
  add_verb(app, "plan", "print the steps and rules of another verb, change nothing",
           "minibridge plan run --publish 8080:80")
      ->callback([] {
        throw Error(ErrorKind::usage, "a verb is missing after 'plan'", "for example 'minibridge plan run -p 8080:80'");
      });

  auto only_check = std::make_shared<bool>(false);
  auto* repair_verb =
      add_verb(app, "repair", "put right whatever differs from what was asked for", "minibridge repair --check");
  repair_verb->add_flag("--check", *only_check, "only say what differs; exit status 5 if anything does");
  repair_verb->callback([only_check, &context] { repair(context, *only_check); });

  auto name = std::make_shared<std::string>();
  auto* rules_verb = add_verb(app, "rules", "our iptables rules, each with its why", "minibridge rules web");
  rules_verb->add_option("NAME", *name, "only those of this network or container");
  rules_verb->callback([name, &context] { show_rules(context, *name); });

  add_verb(app, "down", "remove everything of ours and give the host back as it was", "minibridge down")
      ->callback([&context] { take_down(context); });

  add_verb(app, "version", "show the version", "minibridge version")->callback([&context] {
    print_line(context.globals.json() ? json_of_version(MINIBRIDGE_VERSION) : "minibridge " MINIBRIDGE_VERSION);
  });
}

}  // namespace mb::cli
