// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/runner.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "netns/sysctl.h"
#include "src/base/error.h"
#include "src/kernel/conntrack.h"
#include "src/kernel/rule_counters.h"
#include "src/lab/exchange.h"
#include "src/lab/judge.h"
#include "src/lab/look_at_node.h"
#include "src/lab/server.h"
#include "src/lab/watch.h"
#include "src/trace/nflog.h"

namespace mb::lab {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// Generous: they end what has gone wrong and prove nothing.
constexpr auto kCommandPatience = 120s;
constexpr auto kNeighbourPatience = 15s;  // the kernel asks for a link address three times, a second apart

// The command gets a directory of the scenario's own, away from the machine's files.
constexpr const char* kInOwnDirectory = "mkdir -p /run/scenario && cd /run/scenario && exec sh -c \"$1\"";

CommandResult run_command(const World& world, const std::string& node, const std::string& command) {
  auto result = world.run(node, netns::Command({"sh", "-c", kInOwnDirectory, "sh", command}), kCommandPatience);
  return {result.status, std::move(result.out), std::move(result.err), result.timed_out};
}

// ---- what a request does to the kernel's books

using CounterKey = std::tuple<std::string, Family, std::string>;  // node, family, table
using Counters = std::map<std::string, kernel::ChainCounters>;

class CounterReader {
 public:
  CounterReader(const World& world, const Request& request) : world_(world), request_(request), before_(read()) {}

  // How much each counter of the request has grown.
  std::vector<std::optional<std::uint64_t>> growth() const {
    const auto now = read();
    std::vector<std::optional<std::uint64_t>> grown;
    for (const auto& pattern : request_.counters) {
      const auto before = value(before_, pattern);
      const auto after = value(now, pattern);
      grown.push_back(before && after && *after >= *before ? std::optional(*after - *before) : std::nullopt);
    }
    return grown;
  }

 private:
  std::map<CounterKey, Counters> read() const {
    std::map<CounterKey, Counters> all;
    for (const auto& pattern : request_.counters) {
      const CounterKey key{pattern.node, pattern.family, pattern.table};
      if (all.contains(key)) continue;
      all[key] = world_.in_node(pattern.node, [&] { return kernel::count_packets(pattern.family, pattern.table); });
    }
    return all;
  }

  static std::optional<std::uint64_t> value(const std::map<CounterKey, Counters>& all, const CounterPattern& pattern) {
    const Counters& chains = all.at({pattern.node, pattern.family, pattern.table});
    const auto chain = chains.find(pattern.chain);
    if (chain == chains.end()) return std::nullopt;
    if (pattern.rule == 0) return chain->second.policy;
    const auto index = static_cast<std::size_t>(pattern.rule) - 1;
    return index < chain->second.rules.size() ? std::optional(chain->second.rules[index]) : std::nullopt;
  }

  const World& world_;
  const Request& request_;
  std::map<CounterKey, Counters> before_;
};

class LogReader {
 public:
  LogReader(const World& world, const Request& request) {
    std::set<std::pair<std::string, std::uint16_t>> groups;
    for (const auto& pattern : request.log) groups.emplace(pattern.node, pattern.group);
    for (const auto& pattern : request.log_order) groups.emplace(pattern.node, pattern.group);
    for (const auto& [node, group] : groups) {
      const std::uint16_t number = group;
      listeners_.push_back({node, number, world.in_node(node, [number] { return trace::LogListener(number); })});
    }
  }

  std::vector<Logged> take() {
    std::vector<Logged> all;
    for (auto& listening : listeners_) {
      for (const auto& packet : listening.listener.take()) {
        const auto ip = parse_ip(packet.bytes);
        if (ip) all.push_back({listening.node, listening.group, packet.prefix, ip->source, ip->dest});
      }
    }
    return all;
  }

 private:
  struct Listening {
    std::string node;
    std::uint16_t group;
    trace::LogListener listener;
  };
  std::vector<Listening> listeners_;
};

SocketAddress end_of(const IpAddress& address, std::uint16_t port) { return {address, port}; }

std::vector<Tracked> tracked_in(const Place& place, const netns::Namespace& network) {
  std::vector<Tracked> all;
  for (const auto& flow : netns::run_in(network, kernel::all_flows)) {
    all.push_back({place, flow.protocol, end_of(flow.original.source, flow.original.source_port),
                   end_of(flow.original.destination, flow.original.destination_port),
                   end_of(flow.reply.source, flow.reply.source_port),
                   end_of(flow.reply.destination, flow.reply.destination_port)});
  }
  return all;
}

// ---- the runner

class Runner {
 public:
  Runner(World& world, const Scenario& scenario, const RunEvents& events, const RunOptions& options)
      : world_(world), scenario_(scenario), events_(events), options_(options), watch_(world) {}

  Report run() {
    const auto begin = Clock::now();
    prepare_nodes();
    for (std::size_t i = 0; i < scenario_.steps.size() && !stopped_; ++i) run_step(i, scenario_.steps[i]);
    report_.time = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
    return std::move(report_);
  }

 private:
  void prepare_nodes() const {
    for (const auto& node : world_.topology().node_names()) {
      const auto& network = world_.network(node);
      // Not icmp_ratelimit=0: that empties the account from which the routing pays for errors of its own (`prohibit`), so
      // one within a second of any other would never leave.
      netns::write_sysctl(network, "net.ipv4.icmp_ratemask", "0");
      netns::write_sysctl(network, "net.ipv6.icmp.ratelimit", "0");
      netns::write_sysctl(network, "net.ipv4.tcp_synack_retries", "0");
    }
  }

  static std::optional<Texts> missing_need(const Step& step) {
    for (const Need need : step.needs) {
      if (need == Need::ids && !World::has_user_ids()) {
        return Texts{"a lab made without root has one user id only", "非 root 建立的实验环境里只有一个用户 id"};
      }
      if (need == Need::br_netfilter && !World::has_br_netfilter()) {
        return Texts{"the kernel has not loaded br_netfilter", "内核没有加载 br_netfilter"};
      }
      if (need == Need::kernel_log && !World::has_kernel_log()) {
        return Texts{"this machine does not show the kernel's log to a lab (kernel.dmesg_restrict=1)",
                     "这台机器不让实验环境读取内核日志（kernel.dmesg_restrict=1）"};
      }
    }
    return std::nullopt;
  }

  void run_step(std::size_t number, const Step& step) {
    events_.step_begins(number, step);
    StepReport& report = report_.steps.emplace_back();
    report.left_out = missing_need(step);
    if (!report.left_out) act(step, report);
    events_.step_ends(number, step, report);
  }

  void act(const Step& step, StepReport& report) {
    const bool undoes = !step.undo.empty();
    const std::string before = undoes ? look_at_nodes(step) : std::string();
    run_commands(step.run, Action::run, report);
    std::vector<container::Prepared> servers;
    for (const auto& serve : step.serve) start_server(serve, report, undoes ? servers : servers_);
    for (const auto& expectation : step.expect) {
      if (stopped_) break;
      std::visit([&](const auto& one) { observe(one, report); }, expectation);
    }
    held_.clear();
    servers.clear();
    if (!undoes || stopped_) return;
    run_commands(step.undo, Action::undo, report);
    add(report, {Action::check,
                 join_nodes(step),
                 "undo",
                 {},
                 {judge_undone(step, before, look_at_nodes(step))},
                 {},
                 {},
                 {},
                 step.undo.front().position.line});
  }

  void add(StepReport& report, Action action) {
    if (options_.stop_at_failure && !action.ok()) stopped_ = true;
    events_.action_done(action);
    report.actions.push_back(std::move(action));
  }

  // ---- commands

  void run_commands(const std::vector<Command>& commands, Action::Kind kind, StepReport& report) {
    watch_.leave_guests();
    for (const auto& command : commands) {
      if (!stopped_ && !command.left_out) add(report, run(command, kind));
    }
  }

  Action run(const Command& command, Action::Kind kind) const {
    CommandResult result = run_command(world_, command.node, command.command);
    Action action{kind, command.node, command.command, {}, judge(command, result), {}, {}, {}, command.position.line};
    action.out = std::move(result.out);
    action.err = std::move(result.err);
    return action;
  }

  void observe(const Command& command, StepReport& report) {
    watch_.leave_guests();
    add(report, run(command, Action::look));
  }

  static std::set<std::string> nodes_of(const Step& step) {
    std::set<std::string> nodes;
    for (const auto* commands : {&step.run, &step.undo}) {
      for (const auto& command : *commands) nodes.insert(command.node);
    }
    return nodes;
  }

  static std::string join_nodes(const Step& step) {
    std::string all;
    for (const auto& node : nodes_of(step)) all += (all.empty() ? "" : ", ") + node;
    return all;
  }

  std::string look_at_nodes(const Step& step) const {
    std::string seen;
    for (const auto& node : nodes_of(step)) {
      seen += fmt::format("[{}]\n{}\n", node, comparable(run_command(world_, node, std::string(look_command())).out));
    }
    return seen;
  }

  // ---- servers

  void start_server(const Serve& serve, StepReport& report, std::vector<container::Prepared>& servers) {
    Action action;
    action.kind = Action::serve;
    action.place = serve.at.str();
    action.text = echo_command(serve.listen);
    action.line = serve.position.line;
    try {
      watch_.look_around();
      servers.push_back(serve_echo(watch_.network(serve.at), serve.listen));
    } catch (const Error& error) {
      action.findings = {cannot(error, serve.position.line)};
    }
    watch_.leave_guests();
    add(report, std::move(action));
  }

  static Finding cannot(const Error& error, int line) {
    return {false, Aspect::setup, {"it can be done", "可以进行"}, {error.message(), error.message()}, line};
  }

  // ---- requests

  void observe(const Request& request, StepReport& report) {
    Action action;
    action.kind = Action::request;
    action.place = request.from.str();
    action.text = describe(request);
    action.manner = manner_of(request);
    action.note = request.note;
    action.line = request.position.line;
    try {
      const Observation observation = make_requests(request);
      action.findings = judge(request, observation);
      if (request.journey) action.journey = journey_of(request, observation);
    } catch (const Error& error) {
      action.findings = {cannot(error, request.position.line)};
    }
    add(report, std::move(action));
  }

  Observation make_requests(const Request& request) {
    watch_.look_around();
    watch_.settle();
    watch_.take();
    const CounterReader counters(world_, request);
    LogReader logs(world_, request);
    Observation all;
    for (int i = 0; i < request.repeat; ++i) {
      Observation one = make_request(request);
      const bool as_expected = one.outcome == request.outcome;
      std::move(one.packets.begin(), one.packets.end(), std::back_inserter(all.packets));
      one.packets = std::move(all.packets);
      all = std::move(one);
      if (!as_expected) break;
    }
    all.interfaces = watch_.interfaces();
    all.counted = counters.growth();
    all.logged = logs.take();
    for (const auto& place : watch_.places()) {
      auto more = tracked_in(place, watch_.network(place));
      std::move(more.begin(), more.end(), std::back_inserter(all.tracked));
    }
    return all;
  }

  // Every single packet gets a port of its own, as the kernel gives one to every connection: whatever the machines remember
  // of the last one must not decide about the next.
  Request with_port(Request request) {
    constexpr unsigned kFirst = 40000;
    constexpr unsigned kPorts = 20000;
    if (request.tcp_flags && request.source_port == 0) {
      request.source_port = static_cast<std::uint16_t>(kFirst + single_packets_++ % kPorts);
    }
    return request;
  }

  Observation make_request(const Request& request) {
    Observation observation;
    const Request sent = with_port(request);
    if (sent.tcp_flags) sorter_.renew(sent.source_port);
    Exchange exchange(watch_.network(request.from), sent);
    observation.outcome = request.tcp_flags ? send_one_packet(exchange) : drive(exchange);
    watch_.settle();
    observation.client = exchange.local();
    observation.seen = container::parse_line(exchange.answer());
    observation.answer = exchange.answer();
    observation.packets = sorter_.sort(watch_.take(), request.protocol, exchange.payload());
    if (request.tcp_flags) observation.outcome = outcome_on_wire(request, observation);
    if (request.hold) held_.push_back(std::move(exchange));
    return observation;
  }

  // Until the client has its answer or none can come any more.
  Outcome drive(Exchange& exchange) {
    const auto last_hope = Clock::now() + kNeighbourPatience;
    while (true) {
      while (exchange.step()) {
      }
      if (exchange.outcome()) return *exchange.outcome();
      if (is_ready(exchange, 2ms)) continue;
      watch_.settle();
      if (is_ready(exchange, 0ms)) continue;
      // While a kernel looks for the next machine it will tell the client when it gives up; it may have done so just now.
      const bool may_still_fail = watch_.waits_for_neighbour() && Clock::now() < last_hope;
      if (!may_still_fail) watch_.settle();
      if (!is_ready(exchange, may_still_fail ? 500ms : 0ms) && !may_still_fail) return {Outcome::dropped};
    }
  }

  static bool is_ready(const Exchange& exchange, std::chrono::milliseconds patience) {
    pollfd entry{exchange.descriptor(), exchange.awaited_events(), 0};
    return ::poll(&entry, 1, static_cast<int>(patience.count())) > 0;
  }

  Outcome send_one_packet(const Exchange& exchange) { return exchange.outcome().value_or(Outcome{Outcome::dropped}); }

  // A single packet has no socket that waits for its answer: the answer is what came back to the sender.
  static Outcome outcome_on_wire(const Request& request, const Observation& observation) {
    constexpr std::uint8_t kReset = 0x04;
    constexpr std::uint8_t kTcp = 6;
    if (observation.outcome.kind == Outcome::error) return observation.outcome;
    for (const auto& packet : observation.packets) {
      const bool came_back = packet.reply && packet.at.place == request.from && packet.direction == Direction::in;
      if (!came_back || packet.protocol != kTcp) continue;
      if ((packet.tcp_flags & kReset) != 0) return {Outcome::error, ECONNREFUSED};
      return {Outcome::reached};
    }
    return {Outcome::dropped};
  }

  World& world_;
  const Scenario& scenario_;
  const RunEvents& events_;
  const RunOptions& options_;
  Watch watch_;
  PacketSorter sorter_;
  unsigned single_packets_ = 0;
  std::vector<Exchange> held_;
  std::vector<container::Prepared> servers_;
  Report report_;
  bool stopped_ = false;
};

}  // namespace

Report run_scenario(World& world, const Scenario& scenario, const RunEvents& events, const RunOptions& options) {
  return Runner(world, scenario, events, options).run();
}

}  // namespace mb::lab
