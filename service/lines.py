"""Who is next: the lines in which a queue's jobs wait, one for each tenant, and whose turn it is.

In the flow: job → **line** → a worker that gets a message takes whose turn it is → work.

Who waits for an answer comes before who does not, and both before a batch. Among equals tenants take turns: next is the
one whose last job began longest ago, with its oldest job. So a single job waits for one job of each other tenant,
however many these have handed in. Every job has a message, but a message only says that there is work: which job is
begun is decided when a worker is free, by who has had a turn until then.

Keys, kept in step with the records by `job_records.py`
    `line:{queue}:{tenant}`   ids of its waiting jobs, by priority, then by age
    `turns:{queue}`           tenants by the time when their last job began; 0 for long ago

The records are the truth. What stands in a line and does not wait is taken out when it is met; what waits and stands in
none is put there when its message comes: versions that know no lines may run beside this one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis
    from redis.client import Pipeline

PRIORITY_INTERACTIVE, PRIORITY_NORMAL, PRIORITY_BATCH = 0, 3, 6
"""Within a queue, the smallest comes first: somebody waits for the answer; somebody will ask for it; one of many."""
PRIORITY_STEPS = [PRIORITY_INTERACTIVE, PRIORITY_NORMAL, PRIORITY_BATCH]
_STEP = 100_000_000_000
"""Of a place in line from one priority to the next; within one it is a time, and none since 1970 is as long."""
_STEPS = json.dumps(PRIORITY_STEPS)

_NEXT = """
local turns, line, step, announced = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local priorities, passed_over = cjson.decode(ARGV[4]), {}
for index = 5, #ARGV do passed_over[ARGV[index]] = true end
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

local job = redis.call('HMGET', 'ps:job:' .. announced, 'state', 'tenant', 'priority', 'created_at')
if job[1] == '"queued"' then
  local tenant = cjson.decode(job[2])
  redis.call('ZADD', line .. tenant, 'NX', job[3] * step + job[4], announced)
  redis.call('ZADD', turns, 'NX', 0, tenant)
end

local function first_of(tenant, priority)
  local offset, from = 0, priority * step
  while true do
    local id = redis.call('ZRANGE', line .. tenant, from, from + now, 'BYSCORE', 'LIMIT', offset, 1)[1]
    if not id then return nil end
    if passed_over[id] then
      offset = offset + 1
    elseif redis.call('HGET', 'ps:job:' .. id, 'state') == '"queued"' then
      return id
    else
      redis.call('ZREM', line .. tenant, id)
    end
  end
end

local tenants = redis.call('ZRANGE', turns, 0, -1)
while tenants[1] and redis.call('EXISTS', line .. tenants[1]) == 0 do
  redis.call('ZREM', turns, table.remove(tenants, 1))
end
for _, priority in ipairs(priorities) do
  for _, tenant in ipairs(tenants) do
    local id = first_of(tenant, priority)
    if id then return id end
  end
end
return false
"""
"""Who has had no turn for longest and wants none is forgotten: coming back, it would be the first as well."""

_AHEAD = """
local turns, line, step, tenant, id = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local place = redis.call('ZSCORE', line .. tenant, id)
if not place then return false end
local mine, ahead = math.floor(place / step), 0
local tenants = redis.call('ZRANGE', turns, 0, -1)

local function count(other, priority)
  return redis.call('ZCOUNT', line .. other, priority * step, '(' .. (priority + 1) * step)
end

for _, priority in ipairs(cjson.decode(ARGV[5])) do
  if priority >= mine then break end
  local last = {}
  for index, other in ipairs(tenants) do
    local jobs = count(other, priority)
    ahead, last[other] = ahead + jobs, jobs * #tenants + index
  end
  table.sort(tenants, function(one, other) return last[one] < last[other] end)
end

local urgent = redis.call('ZCOUNT', line .. tenant, '-inf', '(' .. mine * step)
local before = redis.call('ZRANK', line .. tenant, id) - urgent
local turns_before = before + 1
for _, other in ipairs(tenants) do
  if other == tenant then
    turns_before = before
    ahead = ahead + before
  else
    ahead = ahead + math.min(turns_before, count(other, mine))
  end
end
return ahead
"""
"""All that is more urgent, after which the tenants' order is that of their last turns in it. Then of each other tenant
as many equals as of its own, and one more of those whose turn is before its."""


def line_key(queue: str, tenant: str) -> str:
    """A tenant's jobs that wait in a queue."""
    return f"ps:line:{queue}:{tenant}"


def turns_key(queue: str) -> str:
    """When the last job of each tenant began."""
    return f"ps:turns:{queue}"


def line_up(pipeline: Pipeline, queue: str, tenant: str, job_id: str, *, priority: int, since: float) -> None:
    """Queue the commands that put a job into its line.

    Args:
        pipeline: Where they go.
        queue: The job's queue.
        tenant: Whose it is.
        job_id: Which it is.
        priority: One of `PRIORITY_STEPS`.
        since: Its age, a time; it is not begun before that.
    """
    pipeline.zadd(line_key(queue, tenant), {job_id: priority * _STEP + since})
    pipeline.zadd(turns_key(queue), {tenant: 0}, nx=True)


def leave_line(pipeline: Pipeline, queue: str, tenant: str, job_id: str) -> None:
    """Queue the command that undoes `line_up`; harmless where it stands in none."""
    pipeline.zrem(line_key(queue, tenant), job_id)


def take_turn(pipeline: Pipeline, queue: str, tenant: str, now: float) -> None:
    """Queue the command that notes that a tenant's job begins."""
    pipeline.zadd(turns_key(queue), {tenant: now})


def next_job(redis: Redis, queue: str, announced: str, passed_over: Sequence[str] = ()) -> str | None:
    """Whose turn it is.

    Args:
        redis: The connection.
        queue: Which queue.
        announced: The job that the worker's message is about.
        passed_over: Jobs that this worker cannot take.

    Returns:
        A job's id; None if none waits.
    """
    found = redis.eval(_NEXT, 1, turns_key(queue), line_key(queue, ""), _STEP, announced, _STEPS, *passed_over)
    return cast("str | None", found)


def jobs_ahead(redis: Redis, queue: str, tenant: str, job_id: str) -> int | None:
    """How many jobs will begin before one that waits, if no more come; None where it does not stand in line."""
    found = redis.eval(_AHEAD, 1, turns_key(queue), line_key(queue, ""), _STEP, tenant, job_id, _STEPS)
    return cast("int | None", found)


def jobs_until(redis: Redis, queue: str, tenant: str, count: int) -> int:
    """How many jobs will have begun when so many of a tenant's have; at least so many."""
    ids = cast("list[str]", redis.zrange(line_key(queue, tenant), count - 1, count - 1))
    ahead = jobs_ahead(redis, queue, tenant, ids[0]) if ids else None
    return count if ahead is None else ahead + 1
