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
    const future<int> taken = given.get_future();
    const bool kept = p.chance(70);
    auto child = [&, given = std::move(given)]() mutable -> CODE(void) {
      DO(pausing, pause(p));
      if (kept) {
        given.set_value(7);
      } else {
        given.set_exception(std::make_exception_ptr(planned{}));
      }
    };
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

  static CODE(void) bystand(program& p, int how_many, int depth) {
    for (int i = 0; i < how_many; ++i) {
      switch (p.draw(0, depth < 2 ? 18 : 12)) {
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
          DO(step, meet(p));
          break;
        }
        case 14: {
          DO(step, hand_over<lifo_queue<int>>(p));
          break;
        }
        case 15: {
          DO(step, hand_over<priority_queue<int>>(p));
          break;
        }
        case 16: {
          DO(step, promised(p));
          break;
        }
        case 17: {
          DO(step, children_of_all_kinds(p));
          break;
        }
        case 18: {
          DO(step, family(p, depth));
          break;
        }
        default: {
          if (p.chance(50)) {
            DO(step, handle(p));
          } else {
            DO(step, buy(p));
          }
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
