// One set-up at a time in a folder: two that start together (a test and a server) must not build over each other.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { say } from './installation.mjs'

/** Does `work` while it holds the lock of `folder`. */
export async function withLock(folder, work) {
  const lock = join(folder, 'bootstrap.lock')
  for (let waited = 0; !take(lock); waited += 100) {
    const owner = read(lock)
    if (owner === undefined) continue
    // An owner that is gone (killed) leaves its lock behind; one that has not written its name yet is given a second.
    if (owner === '' ? waited >= 1000 : !isAlive(owner)) remove(lock, owner)
    else if (waited === 1000) say('waiting for another set-up in this folder …')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  try {
    return await work()
  } finally {
    rmSync(lock, { force: true })
  }
}

function take(lock) {
  try {
    writeFileSync(lock, nameOf(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    // Of a full disk, say: it was made, and bears nobody's name.
    rmSync(lock, { force: true })
    throw error
  }
}

/** Undefined where it has been given back meanwhile. */
function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

/** A number alone proves nothing: in a container that starts again, the same process has the same one. */
function nameOf(pid) {
  return `${pid} ${startOf(pid)}`
}

/** When it was started, in ticks; empty where there is no /proc. */
function startOf(pid) {
  try {
    // "pid (name) state …", and a name may hold anything.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')[19]
  } catch {
    return ''
  }
}

function isAlive(owner) {
  const pid = Number(owner.split(' ')[0])
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (error.code !== 'EPERM') return false
  }
  return nameOf(pid) === owner
}

/** Removes the lock of an owner that is gone, and no other that a faster one has taken since. */
function remove(lock, owner) {
  const removed = `${lock}.${process.pid}`
  try {
    renameSync(lock, removed)
    if (read(removed) !== owner) linkSync(removed, lock)
  } catch {
    // Another was faster.
  } finally {
    rmSync(removed, { force: true })
  }
}
