// What the actors of random programs do, in the words of one model: random_programs.hpp includes
// this once for each.
//   CODE(type)          what a function gives
//   WAIT(op)            waits for an operation
//   CALL(name, call)    calls such a function, and names its result; DO where there is none
//   GIVE                returns
// In a coroutine each awaited thing has a name: see docs/compilers.md.

struct MODEL {
  /// Attempts an operation until it has happened. `make` gives it, `got` sees it and its result,
  /// `lost` sees it when it was cancelled.
  template <class Make, class Got, class Lost>
  static CODE(void)
      until_done(program& p, std::vector<std::atomic<int>*> waits, Make make, Got got, Lost lost) {
    bool happened = false;
    int attempt = 0;
    while (!happened) {
      bool called = false;
      auto once = [&](cancel_scope& s) -> CODE(void) {
        p.threaten(s, attempt);
        auto op = make();
        try {
          const at here{waits};
          if constexpr (std::is_void_v<await_result<decltype(op)&>>) {
            WAIT(op);
            happened = true;
            got(op);
          } else {
            auto result = WAIT(op);
            happened = true;
            got(op, result);
          }
        } catch (const cancelled&) {
          called = s.cancel_called();
          if (!s.cancelled()) p.broken("`cancelled` was thrown in a scope that is not");
          lost(op);
          throw;
        }
        const bool due = s.cancelled();
        try {
          WAIT(yield_now());
        } catch (const cancelled&) {
          called = s.cancel_called();
          throw;
        }
        if (due) p.broken("a checkpoint in a cancelled scope did not throw");
      };
      CALL(ended, with_scope(p.limits(attempt), once));
      if (!ended && !called) p.broken("a scope absorbed a `cancelled` that was not its own");
      if (ended && !happened) p.broken("an attempt ended without having happened");
      ++attempt;
      // What a cancelled attempt has left undone shows only while it is not repeated.
      if (!happened && p.chance(60)) {
        WAIT(sleep_for(p.a_while()));
      }
    }
    GIVE;
  }

  // ---- the pipeline ----

  static CODE(void) send(program& p, stage& s, token t) {
    const int id = t.id();
    std::optional<token> mine{std::move(t)};
    auto make = [&] {
      token value = std::move(*mine);
      mine.reset();
      return s.line.send(std::move(value));
    };
    auto got = [&](auto&) { p.sent(s, id); };
    auto lost = [&](auto& op) {
      if (op.value().id() != id) p.broken("channel: a value that was not sent has gone");
      mine.emplace(std::move(op.value()));
    };
    DO(sending, until_done(p, waits_for(&s.sending), make, got, lost));
    GIVE;
  }

  /// A token, or nothing when the stage is closed.
  static CODE(std::optional<token>) receive(program& p, stage& s) {
    std::optional<token> taken;
    auto make = [&] { return s.line.receive(); };
    auto got = [&](auto&, std::optional<token>& v) {
      if (v) p.received(s, *v);
      taken = std::move(v);
    };
    auto lost = [](auto&) {};
    DO(receiving, until_done(p, waits_for(&s.receiving), make, got, lost));
    GIVE taken;
  }
  /// The same, against a clock and an event that may come.
  static CODE(std::optional<token>) receive_by_select(program& p, stage& s) {
    std::optional<token> taken;
    bool over = false;
    auto receiving = s.line.receive();  // borrowed by one select after the other
    while (!over) {
      auto make = [&] { return select(receiving, p.signal.lock.wait(), sleep_for(p.a_while())); };
      auto got = [&](auto&, auto& r) {
        if (r.index() != 0) return;
        over = true;
        taken = std::move(r.template get<0>());
        if (taken) p.received(s, *taken);
      };
      auto lost = [](auto&) {};
      DO(selecting, until_done(p, waits_for(&s.receiving, &p.signal.waiting), make, got, lost));
      if (!over) {
        WAIT(sleep_for(p.a_while()));
      }
    }
    GIVE taken;
  }
  /// The same, by a chain of callbacks.
  static CODE(std::optional<token>) receive_by_callback(program& p, stage& s) {
    std::optional<token> taken;
    ++s.receiving;
    auto waiting = defer(s.line.receive());
    auto chain = std::move(waiting)
                     .add_callback([&](std::optional<token> v) {
                       --s.receiving;
                       if (v) p.received(s, *v);
                       taken = std::move(v);
                     })
                     .add_errback([&](const failure& f) {
                       --s.receiving;
                       std::rethrow_exception(f.exception());
                     });
    WAIT(std::move(chain));
    GIVE taken;
  }
  static CODE(std::optional<token>) take(program& p, stage& s) {
    std::optional<token> t;
    // A chain of callbacks needs a loop.
    const int how = p.draw(0, loop::current() != nullptr ? 3 : 2);
    if (how == 0) {
      CALL(taken, receive_by_select(p, s));
      t = std::move(taken);
    } else if (how == 3) {
      CALL(taken, receive_by_callback(p, s));
      t = std::move(taken);
    } else {
      CALL(taken, receive(p, s));
      t = std::move(taken);
    }
    GIVE t;
  }

  static CODE(void) produce(program& p, stage& s, int how_many) {
    for (int i = 0; i < how_many; ++i) {
      DO(sending, send(p, s, p.make_token()));
      DO(pausing, pause(p));
    }
    GIVE;
  }
  static CODE(void) relay(program& p, stage& from, stage& to) {
    for (bool more = true; more;) {
      CALL(t, take(p, from));
      more = t.has_value();
      if (more) {
        DO(sending, send(p, to, std::move(*t)));
      }
    }
    GIVE;
  }
  static CODE(void) consume(program& p, stage& from) {
    for (bool more = true; more;) {
      CALL(t, take(p, from));
      more = t.has_value();
      DO(pausing, pause(p));
    }
    GIVE;
  }

  // ---- the queue of jobs ----

  static CODE(void) boss(program& p, int how_many) {
    for (int i = 0; i < how_many; ++i) {
      auto make = [&] { return p.jobs.put(i); };
      auto got = [&](auto&) { ++p.jobs_put; };
      auto lost = [](auto&) {};
      DO(putting, until_done(p, waits_for(&p.putting), make, got, lost));
    }
    auto join = [&] { return p.jobs.join(); };
    auto got = [&](auto&) { p.expect(p.jobs_done == p.jobs_put, "queue: join came too early"); };
    auto lost = [](auto&) {};
    DO(joining, until_done(p, waits_for(), join, got, lost));
    p.jobs.shutdown();
    GIVE;
  }
  static CODE(void) work(program& p) {
    for (bool more = true; more;) {
      auto make = [&] { return p.jobs.get(); };
      auto got = [&](auto&, std::optional<int>& job) {
        more = job.has_value();
        if (!more) return;
        ++p.jobs_done;
        p.jobs.task_done();
      };
      auto lost = [](auto&) {};
      DO(getting, until_done(p, waits_for(&p.getting), make, got, lost));
    }
    GIVE;
  }

  // ---- what bystanders do ----

  static CODE(void) pause(program& p) {
    const int how = p.draw(0, 3);
    if (how == 0) {
      WAIT(sleep_for(p.a_while()));
    } else if (how == 1) {
      WAIT(yield_now());
    }
    GIVE;
  }
  static CODE(void) lock(program& p) {
    auto& m = p.mutexes[p.draw(0, 1)];
    mutex_guard held;
    auto make = [&] { return m.lock.lock(); };
    auto got = [&](auto&, mutex_guard& g) {
      held = std::move(g);
      p.expect(++m.inside == 1, "mutex: two hold it");
    };
    auto lost = [](auto&) {};
    const leaving out{[&] {
      if (held) --m.inside;
    }};
    DO(locking, until_done(p, waits_for(&m.waiting), make, got, lost));
    DO(pausing, pause(p));
    GIVE;
  }
  static CODE(void) permit(program& p) {
    semaphore_permit held;
    auto make = [&] { return p.permits.lock.permit(); };
    auto got = [&](auto&, semaphore_permit& g) {
      held = std::move(g);
      p.expect(++p.permits.inside <= static_cast<int>(program::permits_in_all),
               "semaphore: more permits than there are");
    };
    auto lost = [](auto&) {};
    const leaving out{[&] {
      if (held) --p.permits.inside;
    }};
    DO(acquiring, until_done(p, waits_for(&p.permits.waiting), make, got, lost));
    DO(pausing, pause(p));
    GIVE;
  }
  static CODE(void) borrow(program& p) {
    limiter_permit held;
    auto make = [&] { return p.desks.lock.permit(); };
    auto got = [&](auto&, limiter_permit& g) {
      held = std::move(g);
      p.expect(++p.desks.inside <= static_cast<int>(program::permits_in_all),
               "capacity_limiter: more permits than there are");
    };
    auto lost = [](auto&) {};
    const leaving out{[&] {
      if (held) --p.desks.inside;
    }};
    DO(borrowing, until_done(p, waits_for(&p.desks.waiting), make, got, lost));
    DO(pausing, pause(p));
    GIVE;
  }
  /// Takes one thing out of the shop; a child brings one, whatever happens.
  static CODE(void) buy(program& p) {
    auto bring = [&]() -> CODE(void) {
      DO(pausing, pause(p));
      auto opening = p.shop.lock.lock();
      const auto open = WAIT(opening);
      ++p.stock;
      p.brought.notify();
    };
    auto supply = [&]() -> CODE(void) { DO(bringing, shielded(bring)); };
    auto body = [&](nursery& n) -> CODE(void) {
      n.start(std::ref(supply));
      auto entering = p.shop.lock.lock();
      auto here = WAIT(entering);
      {
        const at waits{&p.buyers};
        auto waiting = p.brought.wait_until(here, [&p] { return p.stock > 0; });
        WAIT(waiting);
      }
      p.expect(here && --p.stock >= 0, "condition: woken for nothing, or without the lock");
    };
    DO(region, with_nursery(body));
    GIVE;
  }
  template <bool Writes>
  static CODE(void) read_or_write(program& p) {
    auto make = [&] {
      if constexpr (Writes) {
        return p.book.lock.lock();
      } else {
        return p.book.lock.lock_shared();
      }
    };
    std::optional<await_result<decltype(make())>> held;
    std::atomic<int>& inside = Writes ? p.book.writers : p.book.readers;
    auto got = [&](auto&, auto& g) {
      held.emplace(std::move(g));
      ++inside;
      p.expect(p.book.writers == 0 || (p.book.writers == 1 && p.book.readers == 0),
               "shared_mutex: a writer is not alone");
    };
    auto lost = [](auto&) {};
    const leaving out{[&] {
      if (held) --inside;
    }};
    DO(locking, until_done(p, waits_for(&p.book.waiting), make, got, lost));
    WAIT(sleep_for(p.a_while()));
    GIVE;
  }
  static CODE(void) wait_for_signal(program& p) {
    auto make = [&] { return p.signal.lock.wait(); };
    auto got = [](auto&) {};
    auto lost = [](auto&) {};
    DO(waiting, until_done(p, waits_for(&p.signal.waiting), make, got, lost));
    GIVE;
  }
  /// An event that some others wait for is set, and sometimes reset.
  static void give_signal(program& p) {
    p.signal.lock.set();
    if (p.chance(30)) p.signal.lock.reset();
  }

  /// A scope that is cancelled in the middle; inside, a shield.
  static CODE(void) shield(program& p) {
    bool through = false, called = false;
    auto inner = [&]() -> CODE(void) {
      WAIT(sleep_for(p.a_while()));
      through = true;
    };
    auto body = [&](cancel_scope& s) -> CODE(void) {
      s.cancel();
      called = true;
      DO(shielding, shielded(inner));
      WAIT(sleep_for(1s));
      p.broken("a wait in a cancelled scope came through");
    };
    CALL(ended, with_scope(scope_options{}, body));
    p.expect(called && through && !ended, "a shield let a cancel in");
    GIVE;
  }

  /// Children, of which some fail; the nursery tells of it, and of nothing else.
  static CODE(void) family(program& p, int depth) {
    std::atomic<int> failures{0}, alive{0};
    bool thrown = false, from_above = false;
    auto child = [&](int what) -> CODE(void) {
      ++alive;
      const at here{&p.children};
      const leaving out{[&] { --alive; }};
      if (what == 0) {
        DO(pausing, pause(p));
        ++failures;
        throw planned{};
      }
      DO(acting, bystand(p, 1, depth + 1));
    };
    const bool fails = p.chance(30);
    auto body = [&](nursery& n) -> CODE(void) {
      const int how_many = p.draw(1, 3);
      for (int i = 0; i < how_many; ++i) n.start(std::ref(child), fails ? p.draw(0, 2) : 1);
      if (p.chance(20)) p.expose(n.scope());
      try {
        DO(pausing, pause(p));
      } catch (const cancelled&) {
        from_above = !n.scope().cancel_called();
        throw;
      }
    };
    try {
      DO(region, with_nursery(body));
      if (from_above) p.broken("a nursery swallowed a `cancelled` from above");
    } catch (const planned&) {
      thrown = true;
      p.expect(failures == 1, "a nursery threw one failure of several, or of none");
    } catch (const exception_group& g) {
      thrown = true;
      p.expect(static_cast<int>(g.errors().size()) == failures,
               "an exception_group has not all failures");
    }
    p.expect(alive == 0, "a nursery ended before its children");
    p.expect(thrown == (failures != 0), "a nursery swallowed a failure");
    GIVE;
  }

  /// A child with a handle: joined, cancelled, or it fails.
  static CODE(void) handle(program& p) {
    std::atomic<int> begun{0}, cancels{0};
    std::atomic<bool> failed{false};
    bool asked = false;
    auto child = [&](int what) -> CODE(int) {
      ++begun;
      try {
        DO(pausing, pause(p));
      } catch (const cancelled&) {
        ++cancels;
        throw;
      }
      if (what == 0) {
        failed = true;
        throw planned{};
      }
      GIVE what;
    };
    auto body = [&](nursery& n) -> CODE(void) {
      const int what = p.draw(0, 3);
      auto h = spawn(n, std::ref(child), what);
      if (p.chance(30)) h.cancel();
      try {
        const int result = WAIT(h.join());
        p.expect(result == what, "join: not the result");
      } catch (const planned&) {
        asked = true;
        p.expect(failed, "join: a failure that there was not");
      } catch (const cancelled_error&) {
        p.expect(cancels == 1 || begun == 0, "join: the child was not cancelled");
      }
    };
    try {
      DO(region, with_nursery(body));
    } catch (const planned&) {
      // The join was cancelled, so that the failure is the nursery's.
      p.expect(failed && !asked, "a nursery threw a failure that somebody had asked for");
    }
    GIVE;
  }

  /// Several at once: all of them, the first of them, or one with a deadline.
  static CODE(void) together(program& p) {
    const int how = p.draw(0, 2);
    if (how == 0) {
      auto all = gather(sleep_for(p.a_while()), sleep_for(p.a_while()));
      WAIT(all);
    } else if (how == 1) {
      const at here{&p.signal.waiting};
      auto first = first_of(sleep_for(p.a_while()), p.signal.lock.wait());
      WAIT(first);
    } else {
      const at here{&p.signal.waiting};
      auto in_time = fail_after(p.a_while(), p.signal.lock.wait());
      try {
        WAIT(in_time);
      } catch (const timeout_error&) {
      }
    }
    GIVE;
  }

  static CODE(void) lock_twice(program& p) {
    recursive_mutex_guard held;
    auto make = [&] { return p.tree.lock.lock(); };
    auto got = [&](auto&, recursive_mutex_guard& g) {
      held = std::move(g);
      p.expect(++p.tree.inside == 1, "recursive_mutex: two hold it");
    };
    auto lost = [](auto&) {};
    const leaving out{[&] {
      if (held) --p.tree.inside;
    }};
    DO(locking, until_done(p, waits_for(&p.tree.waiting), make, got, lost));
    DO(pausing, pause(p));
    {
      auto again = p.tree.lock.lock();
      const auto inner = WAIT(again);
      p.expect(p.tree.lock.statistics().depth == 2, "recursive_mutex: not locked twice");
    }
    GIVE;
  }
  static CODE(void) pass_gate(program& p) {
    semaphore_permit held;
    auto make = [&] { return p.gate.lock.permit(); };
    auto got = [&](auto&, semaphore_permit& g) {
      held = std::move(g);
      p.expect(++p.gate.inside == 1, "bounded_semaphore: more permits than there are");
    };
    auto lost = [](auto&) {};
    const leaving out{[&] {
      if (held) --p.gate.inside;
    }};
    DO(passing, until_done(p, waits_for(&p.gate.waiting), make, got, lost));
    DO(pausing, pause(p));
    GIVE;
  }
  static CODE(void) open_once(program& p) {
    once_turn turn;
    auto make = [&] { return p.opened.begin(); };
    auto got = [&](auto&, once_turn& t) { turn = std::move(t); };
    auto lost = [](auto&) {};
    DO(beginning, until_done(p, waits_for(&p.openers), make, got, lost));
    if (turn) {
      DO(opening, pause(p));  // cancelled here, the next one opens
      ++p.openings;
      turn.done();
    }
    GIVE;
  }

  /// Two meet at a barrier, and two at a latch.
  static CODE(void) meet(program& p) {
    barrier both{2};
    latch down{1};
    std::atomic<int> met{0}, places{0};
    auto one = [&]() -> CODE(void) {
      DO(pausing, pause(p));
      auto meeting = both.wait();
      const std::size_t place = WAIT(meeting);
      places += static_cast<int>(place);
      ++met;
    };
    auto body = [&](nursery& n) -> CODE(void) {
      n.start(std::ref(one));
      auto counts = [&]() -> CODE(void) {
        DO(meeting, one());
        down.count_down();
      };
      n.start(std::ref(counts));
      WAIT(down.wait());
      p.expect(met >= 1, "latch: it came too early");
    };
    DO(region, with_nursery(body));
    p.expect(met == 2 && places == 1, "barrier: the two did not meet in one round");
    GIVE;
  }
  /// A queue in another order, between two.
  template <class Queue>
  static CODE(void) hand_over(program& p) {
    Queue line{1};
    int sum = 0;
    auto gives = [&]() -> CODE(void) {
      for (int i = 1; i <= 3; ++i) {
        WAIT(line.put(i));
        DO(pausing, pause(p));
      }
      line.shutdown();
    };
    auto body = [&](nursery& n) -> CODE(void) {
      n.start(std::ref(gives));
      for (bool more = true; more;) {
        const auto item = WAIT(line.get());
        more = item.has_value();
        sum += item.value_or(0);
      }
    };
    DO(region, with_nursery(body));
    p.expect(sum == 6, "queue: something was lost between two");
    GIVE;
  }
  /// A promise that a child keeps, or breaks.
  static CODE(void) promised(program& p) {
    promise<int> given;
    future<int> made = given.get_future();
    const bool kept = p.chance(70);
    auto child = [&, given = std::move(given)]() mutable -> CODE(void) {
      DO(pausing, pause(p));
      if (kept) {
        given.set_value(7);
      } else {
        given.set_exception(std::make_exception_ptr(planned{}));
      }
    };
    const future<int> taken =
        std::move(made);  // goes before the promise does, if all are cancelled
    auto body = [&](nursery& n) -> CODE(void) {
      n.start(std::ref(child));
      try {
        const int value = WAIT(taken);
        p.expect(kept && value == 7, "future: not what was promised");
      } catch (const planned&) {
        p.expect(!kept, "future: a failure that there was not");
      }
    };
    DO(region, with_nursery(body));
    GIVE;
  }
  /// A child that says when it is ready; a group, of which one may fail; outcomes.
  static CODE(void) children_of_all_kinds(program& p) {
    std::atomic<int> failures{0};
    const bool fails = p.chance(20);
    auto serves = [&](ready_signal<int> ready) -> CODE(void) {
      DO(pausing, pause(p));
      ready.started(5);
      DO(serving, pause(p));
    };
    auto computes = [&](bool may_fail) -> CODE(int) {
      DO(pausing, pause(p));
      if (may_fail) {
        ++failures;
        throw planned{};
      }
      GIVE 3;
    };
    auto body = [&](nursery& n) -> CODE(void) {
      auto starting = n.start_and_wait_ready(serves);
      const int ready = WAIT(starting);
      p.expect(ready == 5, "start_and_wait_ready: not what was said");
      task_group group{n};
      auto a = spawn(group, std::ref(computes), false);
      auto b = spawn(group, std::ref(computes), fails);
      auto both = gather_outcomes(a.join(), b.join());
      auto ended = WAIT(both);
      auto& [first, second] = ended;
      p.expect(!fails || second.failed() || first.failed(), "task_group: a failure was swallowed");
    };
    bool thrown = false;
    try {
      DO(region, with_nursery(body));
    } catch (const planned&) {
      thrown = true;
    }
    p.expect(thrown == (failures != 0), "task_group: its nursery does not tell of a failure");
    GIVE;
  }

  /// The time that comes again and again; one that was cancelled comes at the next wait.
  static CODE(void) tick(program& p) {
    ticker clock{p.a_while() + 1us};
    time_point last = time_point::min();
    for (int i = 0; i < 3; ++i) {
      auto make = [&] { return clock.next(); };
      auto got = [&](auto&, time_point due) {
        p.expect(due > last && due <= loop::now_here(), "ticker: a tick came twice, or early");
        last = due;
      };
      auto lost = [](auto&) {};
      DO(ticking, until_done(p, waits_for(), make, got, lost));
    }
    GIVE;
  }
  /// Timeouts as objects, two at a time, which fibers and plain threads have: each strikes once, or
  /// not at all.
  static CODE(void) time_out(program& p) {
    if constexpr (std::is_void_v<CODE(void)>) {
      timeout outer{p.a_while()}, inner{p.a_while()};
      int outer_struck = 0, inner_struck = 0;
      for (int i = 0; i < 3; ++i) {
        try {
          await(sleep_for(p.a_while()));
        } catch (const timeout_expired& e) {
          ++(e == outer ? outer_struck : inner_struck);
          p.expect(e == outer || e == inner, "timeout: it was somebody else's");
        }
      }
      p.expect(outer_struck + outer.pending() <= 1 && inner_struck + inner.pending() <= 1,
               "timeout: it struck twice");
    }
    GIVE;
  }
  /// Bytes through memory, with little room or none; a write that was cut short goes on.
  static CODE(void) stream(program& p) {
    const auto room = static_cast<std::size_t>(p.draw(0, 8));
    auto ends = testing::memory_stream_pair(testing::memory_options{}.capacity(room));
    std::string written, read;
    for (int i = p.draw(1, 40); i != 0; --i) written += static_cast<char>('a' + i);
    auto writes = [&]() -> CODE(void) {
      std::string_view rest = written;
      while (!rest.empty()) {
        const auto piece = static_cast<std::size_t>(p.draw(1, 20));
        auto make = [&] { return ends.first.write_all(net::bytes_of(rest.substr(0, piece))); };
        auto got = [&](auto&, std::size_t n) { rest.remove_prefix(n); };
        auto lost = [](auto&) {};
        DO(writing, until_done(p, waits_for(), make, got, lost));
      }
      ends.first.close();
    };
    auto body = [&](nursery& n) -> CODE(void) {
      n.start(std::ref(writes));
      std::array<std::byte, 7> buffer{};
      for (bool more = true; more;) {
        auto make = [&] { return ends.second.read_some(buffer); };
        auto got = [&](auto&, std::size_t n_read) {
          more = n_read != 0;
          read.append(reinterpret_cast<const char*>(buffer.data()), n_read);
        };
        auto lost = [](auto&) {};
        DO(reading, until_done(p, waits_for(), make, got, lost));
      }
    };
    DO(region, with_nursery(body));
    p.expect(read == written, "memory_stream: what came is not what was written");
    GIVE;
  }
  /// Whatever comes first out of two channels, until both are closed.
  static CODE(void) choose(program& p) {
    channel<int> lines[2]{channel<int>{static_cast<std::size_t>(p.draw(0, 2))}, channel<int>{1}};
    int sum = 0;
    auto gives = [&]() -> CODE(void) {
      for (int i = 1; i <= 4; ++i) {
        channel<int>& line = lines[p.draw(0, 1)];
        auto make = [&] { return line.send(i); };
        auto got = [](auto&) {};
        auto lost = [](auto&) {};
        DO(sending, until_done(p, waits_for(), make, got, lost));
        DO(pausing, pause(p));
      }
      for (channel<int>& line : lines) line.close();
    };
    auto body = [&](nursery& n) -> CODE(void) {
      n.start(std::ref(gives));
      std::vector<channel<int>*> open{&lines[0], &lines[1]};
      while (!open.empty()) {
        auto make = [&] {
          std::vector<channel<int>::receive_operation> cases;
          for (channel<int>* line : open) cases.push_back(line->receive());
          return select_any(std::move(cases));
        };
        auto got = [&](auto&, auto& r) {
          sum += r.value.value_or(0);
          if (!r.value) open.erase(open.begin() + static_cast<std::ptrdiff_t>(r.index));
        };
        auto lost = [](auto&) {};
        DO(choosing, until_done(p, waits_for(), make, got, lost));
      }
    };
    DO(region, with_nursery(body));
    p.expect(sum == 10, "select_any: something was lost, or came twice");
    GIVE;
  }
  /// Results in the order in which they come, each once.
  static task<int> gives_later(program* p, int value) {
    co_await sleep_for(p->a_while());
    co_return value;
  }
  static CODE(void) complete(program& p) {
    int sum = 0;
    auto body = [&](nursery& n) -> CODE(void) {
      std::vector<task<int>> several;
      for (int i = 1; i <= 3; ++i) several.push_back(gives_later(&p, i));
      as_completed all{n, std::move(several)};
      for (bool more = true; more;) {
        auto next = all.next();
        auto one = WAIT(std::move(next));
        more = one.has_value();
        if (more) sum += one->get();
      }
    };
    DO(region, with_nursery(body));
    p.expect(sum == 6, "as_completed: something was lost, or came twice");
    GIVE;
  }
  /// A blocking call: on a thread, or at once where there are none.
  static CODE(void) call_elsewhere(program& p) {
    const int sent = p.draw(1, 100);
    int back = 0;
    auto make = [&] { return to_thread([sent] { return sent + 1; }); };
    auto got = [&](auto&, int value) { back = value; };
    auto lost = [](auto&) {};
    DO(calling, until_done(p, waits_for(), make, got, lost));
    p.expect(back == sent + 1, "to_thread: not the result");
    GIVE;
  }

  static CODE(void) bystand(program& p, int how_many, int depth) {
    for (int i = 0; i < how_many; ++i) {
      switch (p.draw(0, depth < 2 ? 26 : 14)) {
        case 0: {
          DO(step, lock(p));
          break;
        }
        case 1: {
          DO(step, permit(p));
          break;
        }
        case 2: {
          DO(step, read_or_write<true>(p));
          break;
        }
        case 3:
        case 4: {
          DO(step, read_or_write<false>(p));
          break;
        }
        case 5: give_signal(p); break;
        case 6: {
          DO(step, shield(p));
          break;
        }
        case 7: {
          DO(step, together(p));
          break;
        }
        case 8: {
          DO(step, pause(p));
          break;
        }
        case 9: {
          DO(step, borrow(p));
          break;
        }
        case 10: {
          DO(step, lock_twice(p));
          break;
        }
        case 11: {
          DO(step, pass_gate(p));
          break;
        }
        case 12: {
          DO(step, open_once(p));
          break;
        }
        case 13: {
          DO(step, tick(p));
          break;
        }
        case 14: {
          DO(step, time_out(p));
          break;
        }
        case 15: {
          DO(step, meet(p));
          break;
        }
        case 16: {
          DO(step, hand_over<lifo_queue<int>>(p));
          break;
        }
        case 17: {
          DO(step, hand_over<priority_queue<int>>(p));
          break;
        }
        case 18: {
          DO(step, promised(p));
          break;
        }
        case 19: {
          DO(step, children_of_all_kinds(p));
          break;
        }
        case 20: {
          DO(step, family(p, depth));
          break;
        }
        case 21: {
          DO(step, handle(p));
          break;
        }
        case 22: {
          DO(step, buy(p));
          break;
        }
        case 23: {
          DO(step, stream(p));
          break;
        }
        case 24: {
          DO(step, choose(p));
          break;
        }
        case 25: {
          DO(step, complete(p));
          break;
        }
        default: {
          DO(step, call_elsewhere(p));
          break;
        }
      }
    }
    GIVE;
  }

  // ---- actors ----

  static CODE(void) act(program& p, role r) {
    const auto where = static_cast<std::size_t>(r.where);
    switch (r.what) {
      case role::produce: {
        DO(step, produce(p, p.stages[where], r.how_many));
        break;
      }
      case role::relay: {
        DO(step, relay(p, p.stages[where - 1], p.stages[where]));
        break;
      }
      case role::consume: {
        DO(step, consume(p, p.stages[where - 1]));
        break;
      }
      case role::bystand: {
        const leaving out{[&p] {
          if (--p.bystanders == 0) p.signal.lock.set();
        }};
        DO(step, bystand(p, r.how_many, 0));
        break;
      }
      case role::boss: {
        DO(step, boss(p, r.how_many));
        break;
      }
      case role::work: {
        DO(step, work(p));
        break;
      }
    }
    GIVE;
  }

  static CODE(void) actor(program* p, role r) {
    std::optional<supplier> here;
    if (r.what == role::produce || r.what == role::relay) {
      here.emplace(p->stages[static_cast<std::size_t>(r.where)]);
    }
    auto body = [&](cancel_scope& s) -> CODE(void) {
      if (r.victim) p->expose(s);
      try {
        DO(acting, act(*p, r));
      } catch (const cancelled&) {
        if (!s.cancelled()) p->broken("`cancelled` left a scope, and none above it was cancelled");
        throw;
      }
    };
    CALL(ended, with_scope(scope_options{}, body));
    if (!ended && !r.victim) p->broken("an actor was cancelled that nobody may cancel");
    GIVE;
  }
};
