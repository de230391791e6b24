// SPDX-License-Identifier: GPL-2.0-or-later
//
// plan, repair, rules, down, version
#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
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
#include "src/plan/find_network.h"

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
  require_privilege();
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

void plan_take_down(const Context& context) {
  std::vector<Deed> kills;
  for (const auto& container : context.state()->running()) {
    if (!engine::is_running(context.setup(), container)) continue;
    kills.push_back({"send_signal", fmt::format("send SIGKILL to '{}'", container.name.str())});
  }
  context.print_plan(context.engine().plan_take_down(), kills);
}

void take_down(Context& context) {
  require_privilege();
  if (context.globals.dry_run) {
    plan_take_down(context);
    return;
  }
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

// ":CHAIN - [0:0]" for our chains that hold these rules or that they lead to: the restorers take no rule in or to a chain
// that they do not know.
void print_chains(const std::vector<RuleView>& views) {
  std::set<std::string> chains;
  for (const auto& view : views) {
    if (view.state == "missing") continue;
    const auto* jump = std::get_if<target::Jump>(&view.rule.target);
    for (const auto& chain : {view.chain, jump == nullptr ? std::string() : jump->chain}) {
      if (chain.starts_with(kChainPrefix)) chains.insert(chain);
    }
  }
  for (const auto& chain : chains) print_line(fmt::format(":{} - [0:0]", chain));
}

void print_table_with_why(const std::vector<RuleView>& views, bool all) {
  print_line(bold(fmt::format("*{}", to_string(views.front().table.table))));
  if (all) print_chains(views);  // a restorer empties what is declared: not where other rules of the chain are left out
  for (const auto& view : views) {
    print_line(dim("# " + remark(view)));
    print_line(view.state == "missing" ? dim("# " + print(view.chain, view.rule)) : print(view.chain, view.rule));
  }
  print_line("COMMIT");
}

// iptables-save form with the reason above each rule. What stands below "# iptables" is read by iptables-restore
// --noflush, what stands below "# ip6tables" by ip6tables-restore --noflush.
void print_rules_with_why(const std::vector<RuleView>& views, bool all) {
  std::optional<Family> family;
  for (auto begin = views.begin(); begin != views.end();) {
    const auto end = std::find_if(begin, views.end(), [&](const RuleView& view) { return view.table != begin->table; });
    if (family != begin->table.family) {
      family = begin->table.family;
      print_line(dim(*family == Family::v4 ? "# iptables" : "# ip6tables"));
    }
    print_table_with_why({begin, end}, all);
    begin = end;
  }
}

// The name of the network or container that is meant.
std::string concerned(const Context& context, const std::string& typed) {
  const auto state = context.state();
  if (const auto network = plan::find_network(state->networks(), typed)) return network->name.str();
  return context.container(*state, typed).name.str();
}

void show_rules(const Context& context, const std::string& typed) {
  const auto name = typed.empty() ? typed : concerned(context, typed);
  require_privilege();
  const auto report = context.engine().rules();
  auto views = RuleLister(report).list();
  if (!name.empty()) {
    std::erase_if(views, [&](const RuleView& view) { return !concerns(view.rule, name); });
  }
  if (context.globals.json()) {
    print_line(json_of_rules(views));
  } else {
    print_rules_with_why(views, name.empty());
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
