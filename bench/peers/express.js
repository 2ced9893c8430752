// express-session with connect-redis: what most Node applications do.
const express = require('express')
const session = require('express-session')
const { RedisStore } = require('connect-redis')
const { createClient } = require('redis')

const client = createClient({ url: process.env.REDIS_URL })
const app = express()
const store = new RedisStore({ client, prefix: 'express:' })
app.use(session({ store, secret: 'a-secret-of-the-bench', resave: false, saveUninitialized: false }))
app.get('/sign-in/:n', (request, response) => {
  const n = request.params.n
  const user = { id: `id-${n}`, username: `user${n}`, email: `user${n}@example.com`, name: `First${n} Last${n}` }
  request.session.user = user
  response.json({ user })
})
app.get('/', (request, response) => {
  response.set('Cache-Control', 'no-store')
  if (request.session.user) response.json({ user: request.session.user })
  else response.status(401).json({ error: 'not_signed_in' })
})
client.connect().then(() => app.listen(Number(process.env.PORT), '127.0.0.1'))
